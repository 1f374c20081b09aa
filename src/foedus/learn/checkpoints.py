"""What a training keeps while it runs, so that it can go on after a stop and end with the very same bytes.

After step s that is: the model's state, the optimiser's velocity, the state of torch's random generators
(dropout), s itself, and the losses so far. The order of the examples is drawn again from the seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from foedus.learn.weights import Array, Specs, Weights, specs_of

_LOSSES, _COUNTS, _RANDOM, _CUDA = "loss/epochs", "counts", "random/cpu", "random/cuda"


class Checkpoints(Protocol):
    """Where the trainings of one task keep their state. Each has a name of its own within the task."""

    def load(self, name: str, specs: Specs) -> Weights | None:
        """Return, to the byte, what this task saved last, also in an earlier attempt; None without such.

        None, too, when it was saved under another name or has other types and shapes than `specs`. Asked
        once for each name; raises ValueError when asked again, since two trainings would be mistaken for
        each other.
        """

    def is_due(self) -> bool:
        """Tell whether to save now. Takes a microsecond at most: it is asked after every step."""

    def save(self, name: str, tensors: Weights) -> None:
        """Replace what was saved. The tensors change as soon as this returns.

        Raises `Interrupted` when training is to end with that.
        """


@dataclass(slots=True)
class Progress:
    """How far a training is."""

    total: torch.Tensor  # () float64 on the model's device: sum of the losses of the epoch's examples so far
    used: int = 0  # of the epoch's examples, in their order
    steps: int = 0  # in all epochs
    losses: list[float] = field(default_factory=list)  # of the epochs that are over


@dataclass(frozen=True, slots=True)
class Keeper:
    """Saves the state of one training when that is due, and puts it back."""

    checkpoints: Checkpoints
    name: str
    model: nn.Module
    velocity: Sequence[torch.Tensor]  # of the optimiser
    progress: Progress
    epochs: int

    def resume(self) -> None:
        """Put back, in place, what was saved, if anything. Raises as `Checkpoints.load` does."""
        found = self.checkpoints.load(self.name, specs_of(self._state()))
        if found is None:
            return
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.tensor(found[name]))
        self.progress.used, self.progress.steps, over = (int(count) for count in found[_COUNTS])
        self.progress.losses[:] = found[_LOSSES].tolist()[:over]
        torch.set_rng_state(torch.tensor(found[_RANDOM]))
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(torch.tensor(found[_CUDA]), self._device)

    def after_step(self) -> None:
        """Save if that is due. Raises as `Checkpoints.save` does."""
        if self.checkpoints.is_due():
            self.checkpoints.save(self.name, self._state())

    @property
    def _device(self) -> torch.device:
        return self.progress.total.device

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that training changes, themselves."""
        return {
            **{f"model/{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"velocity/{index}": tensor for index, tensor in enumerate(self.velocity)},
            "loss/total": self.progress.total,
        }

    def _state(self) -> dict[str, Array]:
        """Return the present state. Where a tensor allows it, the array is a view of it."""
        progress, losses = self.progress, np.zeros(self.epochs)
        losses[: len(progress.losses)] = progress.losses
        state = {name: _array(tensor) for name, tensor in self._tensors().items()}
        state[_LOSSES] = losses
        state[_COUNTS] = np.array([progress.used, progress.steps, len(progress.losses)], np.int64)
        state[_RANDOM] = _array(torch.get_rng_state())
        if self._device.type == "cuda":
            state[_CUDA] = _array(torch.cuda.get_rng_state(self._device))
        return state


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.to("cpu").contiguous().numpy()
    return array

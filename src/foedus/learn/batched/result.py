"""What training many clients gives, and where it is collected."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from foedus.core.errors import InvalidData
from foedus.learn.examples import Examples
from foedus.learn.objectives import CLASSIFICATION
from foedus.learn.training import Loss, TrainSettings, diverged
from foedus.learn.weights import Weights

OnBlock: TypeAlias = Callable[[int, int, float], None]
"""Called after each block with: clients done, clients in all, the block's mean loss in the last epoch."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What K clients hand back, one row each in the order they were given."""

    weights: Weights  # (K, ...) of every tensor of the state dict
    num_examples: npt.NDArray[np.int64]  # (K,)
    steps: npt.NDArray[np.int64]  # (K,)
    losses: npt.NDArray[np.float64]  # (K, epochs): mean data loss while training, without FedProx's penalty


def loss_of(clients: Sequence[Examples]) -> Loss:
    """Return the loss of these clients' objective: they train one model, so it is the same for all."""
    return (clients[0].objective if clients else CLASSIFICATION).loss


class Collected:
    """The rows of a `BatchResult` while they are being filled."""

    def __init__(
        self, model: nn.Module, examples: Sequence[int], settings: TrainSettings, on_block: OnBlock | None
    ) -> None:
        count = len(examples)
        self.tensors = {
            name: torch.empty(count, *like.shape, dtype=like.dtype)
            for name, like in sorted(model.state_dict().items())
        }
        self.examples = np.array(examples, dtype=np.int64)
        self.steps = np.zeros(count, dtype=np.int64)
        self.losses = np.zeros((count, settings.epochs))
        self.settings, self.on_block, self.done = settings, on_block, 0

    def report(self, rows: Sequence[int]) -> None:
        """Check the rows that were filled last, and tell about them. Raises `TaskFailed` if they diverged."""
        losses = self.losses[rows]
        if not np.isfinite(losses).all():
            row, epoch = np.argwhere(~np.isfinite(losses))[0]
            what = f"the loss of client {rows[row]} (from 0) became {losses[row, epoch]} in epoch {epoch + 1}"
            raise diverged(what, self.settings)
        for name, tensor in self.tensors.items():
            if tensor.is_floating_point() and not _is_finite(tensor[rows_index(rows)]):
                raise diverged(f"the weights {name!r} of a client became infinite or NaN", self.settings)
        self.done += len(rows)
        if self.on_block is not None:
            self.on_block(self.done, len(self.steps), float(losses[:, -1:].mean()) if losses.size else 0.0)

    def result(self) -> BatchResult:
        """Return all rows, which share storage with this object."""
        weights = {name: tensor.numpy() for name, tensor in self.tensors.items()}
        return BatchResult(weights, self.examples, self.steps, self.losses)


def counts_of(clients: Sequence[Examples], seeds: Sequence[int]) -> list[int]:
    """Return how many examples each client has. Raises `InvalidData` unless all have some, and a seed."""
    if len(clients) != len(seeds):
        raise InvalidData(f"{len(clients)} clients but {len(seeds)} seeds", "Give one seed to each client.")
    counts = [len(client) for client in clients]
    if 0 in counts:
        raise InvalidData(f"client {counts.index(0)} (from 0) has no training example")
    return counts


def rows_index(rows: Sequence[int]) -> slice | torch.Tensor:
    """Return what picks these rows (ascending, at least one), without a copy where they are neighbours."""
    first, last = rows[0], rows[-1]
    return slice(first, last + 1) if last - first + 1 == len(rows) else torch.tensor(rows)


def _is_finite(tensor: torch.Tensor) -> bool:
    # A sum is finite only if all its terms are; it is many times faster than looking at each.
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())

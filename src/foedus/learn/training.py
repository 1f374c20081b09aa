"""Local training: Algorithm 1 of the paper without its I/O.

    w ← θ_t;  for E epochs, for each batch b:  w ← w − η (∇F_b(w) + ∇penalty(w) + wd · w),  or with momentum

The optimiser is fresh in every round. The last, smaller batch is kept; a batch of one example is skipped only
when the model has batch normalisation, which cannot train on it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import nn

from foedus.core.errors import InvalidData, TaskFailed
from foedus.learn.checkpoints import Checkpoints, Keeper, Progress
from foedus.learn.devices import Placed, autocast, suits_bfloat16
from foedus.learn.examples import Examples
from foedus.learn.state import device_of, has_batch_norm, trainable_parameters, weights_of
from foedus.learn.weights import Weights

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Mean loss of a batch from (outputs, targets)."""

OnStep: TypeAlias = Callable[[int, int, torch.Tensor], None]
"""Called after each step with: steps done, steps in all, data loss of the batch (a tensor: no wait)."""


class Penalty(Protocol):
    """A term added to the objective but never to the reported data loss."""

    def add_gradient(self) -> None:
        """Add the penalty's gradient to the `grad` of the parameters it was made for."""

    def value(self) -> float:
        """Return the penalty at the parameters' present values."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a client trains in one round: plain SGD unless momentum or weight decay is given."""

    epochs: int = 1  # 0 returns the base
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0


DEFAULT_SETTINGS = TrainSettings()


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What one client hands back after local training."""

    weights: Weights  # the local model, which gate and floor score
    num_examples: int
    steps: int
    data_losses: tuple[float, ...]  # mean over the examples of each epoch, while training; without penalty
    penalty: float = 0.0  # at the final weights
    update: Weights | None = None  # what is handed to the others; None: the local model itself
    memory: Weights = field(default_factory=dict)  # what the client keeps for itself until its next turn

    @property
    def handed_over(self) -> Weights:
        """The tensors of the update."""
        return self.weights if self.update is None else self.update


def local_sgd(
    model: nn.Module,
    data: Examples,
    settings: TrainSettings,
    seed: int,
    *,
    penalty: Penalty | None = None,
    loss: Loss | None = None,
    on_step: OnStep | None = None,
    checkpoints: Checkpoints | None = None,
    name: str = "sgd",
) -> LocalResult:
    """Train the model, which holds the base's weights, in place. Same seed and threads: same bytes.

    The loss is that of the data's objective unless another is given. With `checkpoints` it goes on from what
    was saved under `name`, if anything, to these same bytes; the arguments must then be those of the training
    that was stopped. A strategy that trains several times in one turn gives each its own name. Raises
    `InvalidData` for an empty set, `TaskFailed` when the loss or the weights stop being finite, and what
    `checkpoints` raises.
    """
    if not len(data):
        raise InvalidData("there is no training example")
    device = device_of(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # for dropout and the like
        run = _Run(model, Placed.on(device, data), settings, penalty, loss or data.objective.loss, on_step)
        if checkpoints is not None:
            run.keep(checkpoints, name)
        losses = run.train(torch.Generator().manual_seed(seed))
    _require_finite_weights(model, settings)
    final_penalty = penalty.value() if penalty else 0.0
    return LocalResult(weights_of(model), len(data), run.progress.steps, losses, final_penalty)


class _Run:
    """The loop of one `local_sgd`."""

    def __init__(
        self,
        model: nn.Module,
        data: Placed,
        settings: TrainSettings,
        penalty: Penalty | None,
        loss: Loss,
        on_step: OnStep | None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.penalty, self.loss, self.on_step = penalty, loss, on_step
        self.smallest_batch = 2 if has_batch_norm(model) else 1
        self.optimizer = Sgd(trainable_parameters(model), settings)
        set_memory_order(model, data.examples.channels_last)
        self.autocast = autocast(data.device, suits_bfloat16(data.device, data.examples))
        self.progress = Progress(torch.zeros((), dtype=torch.float64, device=data.device))
        self.keeper: Keeper | None = None

    def keep(self, checkpoints: Checkpoints, name: str) -> None:
        """Save the state from time to time, and begin with what was saved before."""
        velocity, epochs = self.optimizer.velocity, self.settings.epochs
        self.keeper = Keeper(checkpoints, name, self.model, velocity, self.progress, epochs)
        self.keeper.resume()

    def train(self, generator: torch.Generator) -> tuple[float, ...]:
        """Return the mean data loss of each epoch."""
        self.model.train()
        losses = self.progress.losses
        for epoch in range(self.settings.epochs):
            order = torch.randperm(len(self.data.examples), generator=generator)
            if epoch < len(losses):  # over before the last stop; drawn all the same, for the orders to come
                continue
            losses.append(self._epoch(order))
            if not math.isfinite(losses[-1]):
                raise diverged(f"the loss became {losses[-1]} in epoch {epoch + 1}", self.settings)
        return tuple(losses)

    def _epoch(self, order: torch.Tensor) -> float:
        progress = self.progress
        for inputs, targets in self.data.batches(order[progress.used :], self.settings.batch_size):
            if len(targets) < self.smallest_batch:
                continue
            # Summed on the device and read once per epoch: reading each step's loss would stall a GPU.
            progress.total.add_(self._step(inputs, targets), alpha=len(targets))
            progress.used += len(targets)
            if self.keeper is not None:
                self.keeper.after_step()
        loss = float(progress.total) / progress.used if progress.used else 0.0
        progress.total.zero_()
        progress.used = 0
        return loss

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.model.zero_grad(set_to_none=True)
        with self.autocast:
            loss = self.loss(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        if self.penalty is not None:
            self.penalty.add_gradient()
        self.optimizer.step()
        self.progress.steps += 1
        if self.on_step is not None:
            self.on_step(self.progress.steps, self._steps_planned(), loss.detach())
        return loss.detach()

    def _steps_planned(self) -> int:
        full, rest = divmod(len(self.data.examples), self.settings.batch_size)
        return self.settings.epochs * (full + (rest >= self.smallest_batch))


class Sgd:
    """v ← m v + (g + wd · w);  w ← w − η v.  The same operations as `torch.optim.SGD`, hence the same bits.

    Written here because making an optimiser of `torch.optim` loads PyTorch's compiler: seconds in a worker.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], settings: TrainSettings) -> None:
        self.parameters, self.settings = parameters, settings
        self.velocity = [torch.zeros_like(p) for p in parameters] if settings.momentum else []

    @torch.no_grad()
    def step(self) -> None:
        """Move all parameters that have a gradient."""
        used = [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]
        moving: list[torch.Tensor] = [self.parameters[index] for index in used]
        steps = [gradient for p in moving if (gradient := p.grad) is not None]
        if not moving:
            return
        if self.settings.weight_decay:
            torch._foreach_add_(steps, moving, alpha=self.settings.weight_decay)
        if self.settings.momentum:
            velocity = [self.velocity[index] for index in used]
            torch._foreach_mul_(velocity, self.settings.momentum)
            torch._foreach_add_(velocity, steps)
            steps = velocity
        torch._foreach_add_(moving, steps, alpha=-self.settings.learning_rate)


def set_memory_order(model: nn.Module, channels_last: bool) -> None:
    """Lay out the model's tensors with the channels last, or in the usual order."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=order)  # type: ignore[call-overload]  # torch's stubs lack this form


def _require_finite_weights(model: nn.Module, settings: TrainSettings) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise diverged(f"the weights {name!r} became infinite or NaN", settings)


def diverged(what: str, settings: TrainSettings) -> TaskFailed:
    """Return the error that says that training diverged, and what to do."""
    return TaskFailed(
        f"training diverged: {what}",
        f"Lower the learning rate ({settings.learning_rate:g}), and look for damaged examples.",
    )

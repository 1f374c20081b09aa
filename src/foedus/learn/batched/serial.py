"""One client after the other with the bits of `local_sgd`, but without what it does anew for each of them."""

from collections.abc import Sequence

import torch
from torch import nn

from foedus.learn.batched.gradients import gradients_of
from foedus.learn.batched.result import BatchResult, Collected, OnBlock, counts_of, loss_of
from foedus.learn.examples import Examples
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.state import device_of, has_batch_norm, load_weights, trainable_parameters
from foedus.learn.training import Loss, Sgd, TrainSettings, set_memory_order
from foedus.learn.weights import Weights


def train_serial(
    model: nn.Module,
    base: Weights,
    clients: Sequence[Examples],
    settings: TrainSettings,
    seeds: Sequence[int],
    *,
    mu: float = 0.0,
    block: int = 100,
    loss: Loss | None = None,
    on_block: OnBlock | None = None,
) -> BatchResult:
    """Train every client from `base`, one by one, to the very bits of `local_sgd` with that client's seed.

    Takes any model. `mu`: FedProx's pull. `block`: how many clients pass between two calls of `on_block`.
    The first client's memory order of images counts for all. The model is left with the base's weights.
    Raises as `local_sgd` and `load_weights` do.
    """
    counts = counts_of(clients, seeds)
    load_weights(model, base)
    set_memory_order(model, bool(clients) and clients[0].channels_last)  # tensors must stay where they are
    model.train()
    collected = Collected(model, counts, settings, on_block)
    device = device_of(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        run = _Serial(model, settings, mu, loss or loss_of(clients))
        for row, (client, seed) in enumerate(zip(clients, seeds, strict=True)):
            own = client if client.targets.device == device else client.to(device)
            collected.losses[row] = run.train(own, seed)
            collected.steps[row] = run.steps_done
            for name, tensor in run.state.items():
                collected.tensors[name][row] = tensor
            if (row + 1) % block == 0 or row + 1 == len(clients):
                collected.report(range(row // block * block, row + 1))
        run.rewind()
    return collected.result()


class _Serial:
    """A model that is set back to its base before every client."""

    def __init__(self, model: nn.Module, settings: TrainSettings, mu: float, loss: Loss) -> None:
        self.settings = settings
        self.parameters = trainable_parameters(model)
        self.smallest_batch = 2 if has_batch_norm(model) else 1
        self.steps_done = 0
        self.penalty = ProximalPenalty(self.parameters, mu) if mu else None
        self.state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        self.base = [tensor.clone() for tensor in self.state.values()]
        self.gradients = gradients_of(model, loss)

    def train(self, data: Examples, seed: int) -> list[float]:
        """Train from the base; return the mean data loss of each epoch."""
        self.rewind()
        _seed(seed, data.targets.device)  # for dropout and the like
        generator = torch.Generator().manual_seed(seed)
        self.optimizer, self.steps_done = Sgd(self.parameters, self.settings), 0
        return [self._epoch(data, generator) for _ in range(self.settings.epochs)]

    def _epoch(self, data: Examples, generator: torch.Generator) -> float:
        order = torch.randperm(data.targets.shape[0], generator=generator).to(data.targets.device)
        losses, sizes = [], []
        for inputs, targets in data.batches(order, self.settings.batch_size):
            size = targets.shape[0]  # `len` of a tensor takes ten times longer
            if size >= self.smallest_batch:
                losses.append(self._step(inputs, targets))
                sizes.append(size)
        if not losses:
            return 0.0
        total = 0.0  # a float32 times a size is exact in float64, so these are the sums of `local_sgd`
        for loss, size in zip(
            torch.stack(losses).tolist(), sizes, strict=True
        ):  # read once: a GPU would wait
            total += loss * size
        return total / sum(sizes)

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss, gradients = self.gradients(inputs, targets)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.penalty is not None:
            self.penalty.add_gradient()
        self.optimizer.step()
        self.steps_done += 1
        return loss

    @torch.no_grad()
    def rewind(self) -> None:
        """Put the base's weights and buffers back."""
        torch._foreach_copy_(list(self.state.values()), self.base)


def _seed(seed: int, device: torch.device) -> None:
    # What `torch.manual_seed` does for this device, without looking at the others
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)

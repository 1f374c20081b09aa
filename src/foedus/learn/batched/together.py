"""Many clients at once, whose parameters and batches are stacked along a new first axis."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from foedus.core.errors import UnsupportedModel
from foedus.learn.batched.result import BatchResult, Collected, OnBlock, counts_of, loss_of, rows_index
from foedus.learn.batched.stacked import HINT, stacked_gradients
from foedus.learn.examples import Examples
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.state import BATCH_NORMS, device_of, load_weights
from foedus.learn.training import Loss, Sgd, TrainSettings
from foedus.learn.weights import Weights

_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def train_batched(
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
    """Train every client from `base`, `block` clients with equal numbers of examples at a time.

    `mu`: FedProx's pull towards the base. The model is left with the base's weights. Same block, threads and
    machine: same bytes. Memory beside the result: about four models per client of a block.
    Raises `UnsupportedModel` for models with dropout or batch normalisation, and for what `torch.vmap` cannot
    do; `InvalidData` for an empty client; `TaskFailed` when a client's training diverges.
    """
    counts = counts_of(clients, seeds)
    require_plain(model)
    load_weights(model, base)
    model.train()
    collected, wanted = Collected(model, counts, settings, on_block), loss or loss_of(clients)
    for rows in _blocks(counts, block):
        stacked = _stacked(model, collected, rows)
        own = [clients[row] for row in rows]
        run = _Block(model, stacked, own, [seeds[row] for row in rows], settings, mu, wanted)
        collected.losses[rows] = run.train().numpy()
        collected.steps[rows] = run.steps_done
        _collect(collected, model, stacked, rows)
        collected.report(rows)
    return collected.result()


def _blocks(counts: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield the rows of each block: clients with as many examples, hence with batches of the same shapes."""
    by_count: dict[int, list[int]] = {}
    for row, count in enumerate(counts):
        by_count.setdefault(count, []).append(row)
    for rows in by_count.values():
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


class _Block:
    """The training of a few clients, whose parameters are stacked along a new first axis."""

    def __init__(
        self,
        model: nn.Module,
        stacked: dict[str, torch.Tensor],
        clients: Sequence[Examples],
        seeds: Sequence[int],
        settings: TrainSettings,
        mu: float,
        loss: Loss,
    ) -> None:
        self.settings, self.size, self.stacked = settings, len(clients), stacked
        self.clients, self.device = clients, device_of(model)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        parameters = list(stacked.values())
        self.optimizer = Sgd(parameters, settings)
        self.penalty = ProximalPenalty(parameters, mu) if mu else None
        self.gradients = stacked_gradients(model, stacked, loss)
        self.steps_done = 0

    def train(self) -> torch.Tensor:
        """Return the mean data loss of every client in each epoch: (K, epochs), float64."""
        losses = torch.zeros(self.size, self.settings.epochs, dtype=torch.float64)
        for epoch in range(self.settings.epochs):
            losses[:, epoch] = self._epoch().cpu()
        return losses

    def _epoch(self) -> torch.Tensor:
        count = len(self.clients[0])
        orders = [torch.randperm(count, generator=generator) for generator in self.generators]
        inputs = _gathered([client.inputs for client in self.clients], orders).to(self.device)
        targets = _gathered([client.targets for client in self.clients], orders).to(self.device)
        total = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        for start in range(0, count, self.settings.batch_size):
            stop = min(start + self.settings.batch_size, count)
            total.add_(self._step(inputs[:, start:stop], targets[:, start:stop]), alpha=stop - start)
        return total / count

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses, gradients = self.gradients(inputs, targets)
        for parameter, gradient in zip(self.stacked.values(), gradients, strict=True):
            parameter.grad = gradient
        if self.penalty is not None:
            self.penalty.add_gradient()
        self.optimizer.step()
        self.steps_done += 1
        return losses


def _gathered(rows: Sequence[torch.Tensor], orders: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the rows of each client in its order, stacked: (K, N, ...)."""
    found = rows[0].new_empty(len(rows), *rows[0].shape)
    for own, order, target in zip(rows, orders, found, strict=True):
        torch.index_select(own, 0, order, out=target)
    return found


def _stacked(model: nn.Module, collected: Collected, rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return the base's parameters for each row, to be trained in the result itself where possible."""
    index, device = rows_index(rows), device_of(model)
    return {
        name: collected.tensors[name][index].to(device).copy_(parameter.detach()).requires_grad_()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _collect(
    collected: Collected, model: nn.Module, trained: Mapping[str, torch.Tensor], rows: Sequence[int]
) -> None:
    """Copy a block's tensors to their rows. What is not trained is the base's; tied names share a value."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    index = rows_index(rows)
    for name, tensor in model.state_dict(keep_vars=True).items():
        found = trained.get(names.get(id(tensor), ""), tensor).detach()
        target = collected.tensors[name]
        if found.data_ptr() != target[rows[0]].data_ptr():
            target[index] = found.cpu()


def require_plain(model: nn.Module) -> None:
    """Raise `UnsupportedModel` for layers that keep statistics of a batch, or draw at random."""
    for name, module in model.named_modules():
        if isinstance(module, (*BATCH_NORMS, *_RANDOM)):
            kind = type(module).__name__
            raise UnsupportedModel(f"{kind} ({name!r}) cannot be trained for many clients at once", HINT)

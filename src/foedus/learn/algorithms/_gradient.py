"""The mean gradient of a set of examples at a model's present parameters."""

from collections.abc import Sequence

import torch
from torch import nn

from foedus.core.errors import InvalidData
from foedus.learn.devices import Placed, autocast, suits_bfloat16
from foedus.learn.examples import Examples
from foedus.learn.state import device_of, has_batch_norm
from foedus.learn.training import Loss


def mean_gradient(
    model: nn.Module,
    data: Examples,
    count: int,
    chunk: int,
    seed: int,
    loss: Loss | None = None,
) -> float:
    """Leave the mean gradient of `count` examples in the `grad` of the parameters; return their mean loss.

    The examples are the first `count` of the order in which local SGD with this seed would take them. They
    are worked on `chunk` at a time, which bounds memory and changes only roundings; with batch normalisation
    all at once, because its statistics are those of the batch.
    Raises `InvalidData` when batch normalisation has but one example to work on.
    """
    if has_batch_norm(model):
        chunk = count
        if count == 1:
            raise InvalidData("batch normalisation cannot train on one example", "Add examples.")
    device = device_of(model)
    placed, loss = Placed.on(device, data), loss or data.objective.loss
    forward = autocast(device, suits_bfloat16(device, data))
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:count]
    model.train()
    model.zero_grad(set_to_none=True)
    total = 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # for dropout and the like
        for inputs, targets in placed.batches(order, chunk):
            with forward:
                part = loss(model(inputs), targets) * (len(targets) / count)
            part.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            total += float(part.detach())
    return total


@torch.no_grad()
def add_weight_decay(parameters: Sequence[nn.Parameter], rate: float) -> None:
    """Add rate · w to the gradients there are."""
    for parameter in parameters:
        if parameter.grad is not None and rate:
            parameter.grad.add_(parameter, alpha=rate)

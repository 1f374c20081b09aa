"""The client's side of matched averaging: which net it trains, what it freezes, what it hands over."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from foedus.core.errors import TaskFailed, UnsupportedModel
from foedus.learn.devices import Placed
from foedus.learn.examples import Examples
from foedus.learn.matching.bbp import Assignment
from foedus.learn.matching.chain import Chain
from foedus.learn.matching.layers import cut, move_inputs, units
from foedus.learn.state import BATCH_NORMS, device_of
from foedus.learn.weights import Array, Weights

LABELS = "@labels"
"""The name of the tensor in which a client says how many examples of each label it has."""

_STATISTICS_BATCH = 256


def restricted(chain: Chain, server: Weights, assignments: Mapping[str, Assignment]) -> Weights:
    """Return the client's own net: of each global layer the units that are its own.

    `assignments` has the client's units of each hidden layer, by the layer's name.
    """
    local: dict[str, Array] = {}
    before: Assignment | None = None
    for layer in chain.layers:
        own = assignments.get(layer.name)
        local.update(cut(layer, server, own, before))
        before = own
    return local


def continued(
    chain: Chain, memory: Weights, server: Weights, assignments: Mapping[str, Assignment], step: int
) -> Weights:
    """Return the net to retrain in a later exchange: matched layers are the server's, the next reads them.

    `memory` is the client's net at the end of the exchange before. Raises `TaskFailed` when the client took
    no part in the exchanges before.
    """
    matched, layer = chain.layers[: step - 1], chain.layers[step - 1]
    if any(each.name not in assignments for each in matched) or not memory:
        raise TaskFailed(
            f"exchange {step} of the round continues the exchanges before, in which this client took no part",
            "Nothing to do: it takes part again in the next round.",
        )
    local = {**memory, **{name: server[name].copy() for each in matched for name in each.names()}}
    before = matched[-1]
    return {**local, **move_inputs(layer, local, assignments[before.name], units(before, server))}


def first_units(chain: Chain, widths: Mapping[str, int]) -> dict[str, Assignment]:
    """Return the assignment of a client that has none: the first units of each hidden layer."""
    return {layer.name: np.arange(widths[layer.name], dtype=np.int64) for layer in chain.hidden}


def initialise(model: nn.Module, seed: int, client: str) -> None:
    """Draw new weights by the modules' own rules, others for every client; leave global randomness alone."""
    digest = hashlib.sha256(f"{seed}/{client}".encode()).digest()
    device = device_of(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()


@contextmanager
def frozen(model: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Keep the named parameters as they are within the block."""
    parameters = [parameter for name, parameter in model.named_parameters() if name in names]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@torch.no_grad()
def recompute_statistics(model: nn.Module, data: Examples) -> None:
    """Replace the running statistics of batch normalisation by their mean over all batches of the data."""
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    momenta = [norm.momentum for norm in norms]
    model.eval()  # no dropout
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    here = Placed.on(device_of(model), data)
    for inputs, targets in here.batches(torch.arange(len(data)), _STATISTICS_BATCH):
        if len(targets) > 1:
            model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def label_counts(data: Examples, classes: int) -> Array:
    """Return how many examples of each label there are. Raises `UnsupportedModel` without labels."""
    targets = data.targets.detach().to("cpu").numpy()
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise UnsupportedModel("label_weights needs one label per example", "Set label_weights = false.")
    return np.bincount(targets, minlength=classes)[:classes].astype(np.int64)

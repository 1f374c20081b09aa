"""Chains of layers, copies of them with their units in another order, and what they compute."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.matching.layers import cut, units
from foedus.learn.matching.trace import analyse
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Weights

ONE_SHOT = {"exchange": "model", "growth": "bbp", "gamma": 1e-3}


class Recurrent(nn.Module):
    """Tokens, an embedding, an LSTM of one or more levels, its last output, labels."""

    def __init__(self, levels: int = 1, is_batch_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.lstm = nn.LSTM(3, 5, num_layers=levels, batch_first=is_batch_first)
        self.out = nn.Linear(5, 3)
        self.is_batch_first = is_batch_first

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        found, (hidden, _) = self.lstm(self.embedding(tokens))
        return self.out(found[:, -1] if self.is_batch_first else hidden[-1])


def mlp(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def cnn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Dropout(0.0),
        nn.Flatten(),
        nn.Linear(5 * 3 * 3, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )


def recurrent(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Recurrent()


def inputs_for(model: nn.Module, count: int = 8) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    if isinstance(model, Recurrent):
        return torch.randint(0, 7, (count, 4), generator=random)
    first = next(model.children())
    shape = (1, 6, 6) if isinstance(first, nn.Conv2d) else (4,)
    return torch.randn(count, *shape, generator=random)


def scaled(model: nn.Module, factor: float = 3.0) -> nn.Module:
    """The model with larger weights, so that its units are far apart for the prior."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


def outputs(model: nn.Module, weights: Weights, inputs: torch.Tensor) -> np.ndarray:
    FedMA().fit(model, weights)
    with torch.no_grad():
        return model.eval()(inputs).numpy()


def permuted(model: nn.Module, seed: int, batch_norm: bool = False) -> Weights:
    """The model's weights with the units of all hidden layers in another order: the same function."""
    chain, random = analyse(model, batch_norm), np.random.default_rng(seed)
    weights, copy, before = weights_of(model), {}, None
    for layer in chain.layers:
        order = None if layer is chain.last else random.permutation(units(layer, weights))
        copy.update(cut(layer, weights, order, before))
        before = order
    return copy


def merged(
    model: nn.Module,
    clients: Sequence[Weights],
    examples: Sequence[int] | None = None,
    extras: Sequence[Mapping[str, np.ndarray]] | None = None,
    **params: object,
) -> ServerState:
    """One exchange of whole models, with updates checked as in a round."""
    strategy = FedMA(**{**ONE_SHOT, **params})
    state = strategy.init(weights_of(model))
    rules = MergeRules(parts_of(model), model=model)
    updates = []
    for number, weights in enumerate(clients):
        source = MemorySource({**weights, **(extras[number] if extras else {})})
        name = f"c{number}"
        check_update(source, strategy.update_specs(state, name, rules), state.weights, rules.parts)
        updates.append(Update(name, source, examples[number] if examples else 1))
    return strategy.aggregate(state, updates, rules)

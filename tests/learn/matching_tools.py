"""Chains of layers, copies of them with their units in another order, and what they compute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from learn_tools import blobs
from torch import nn

from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.examples import Examples
from foedus.learn.matching.layers import cut, units
from foedus.learn.matching.trace import analyse
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings
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


def examples_for(model: nn.Module, count: int, seed: int) -> Examples:
    """Three separable classes in the form that the model takes."""
    if isinstance(model, Recurrent):
        labels = torch.arange(count) % 3
        tokens = torch.randint(0, 7, (count, 4), generator=torch.Generator().manual_seed(seed))
        tokens[:, -1] = labels
        return Examples(tokens, labels)
    data = blobs(count, seed)
    if not isinstance(next(model.children()), nn.Conv2d):
        return data
    images = data.inputs.reshape(-1, 1, 2, 2).repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    return Examples(images, data.targets)


@dataclass
class Federation:
    """Clients, their memories and a server, all here; every update is checked as in a round."""

    strategy: FedMA
    model: nn.Module
    clients: Mapping[str, Examples]
    settings: TrainSettings
    robust: RobustRule = MEAN
    store: Callable[[ServerState], ServerState] = lambda state: state
    memories: dict[str, Weights] = field(default_factory=dict)
    results: dict[tuple[int, str], LocalResult] = field(default_factory=dict)  # by exchange, of this round

    def rules(self, step: int) -> MergeRules:
        return MergeRules(parts_of(self.model), robust=self.robust, model=self.model, step=step)

    def exchange(
        self, state: ServerState, number: int, step: int, present: Sequence[str] | None = None
    ) -> ServerState:
        """Let those present train and hand over; merge, in an order that is not theirs."""
        updates, rules = [], self.rules(step)
        for client in present or list(self.clients):
            turn = Turn(client, number, step, self.memories.get(client, {}))
            result = self.strategy.train(self.model, state, self.clients[client], self.settings, turn)
            self.memories[client], self.results[step, client] = result.memory, result
            source = MemorySource(result.handed_over)
            specs = self.strategy.update_specs(state, client, rules)
            check_update(source, specs, state.weights, rules.parts)
            updates.append(Update(client, source, len(self.clients[client])))
        return self.store(self.strategy.aggregate(state, updates[::-1], rules))

    def round(self, state: ServerState, number: int) -> ServerState:
        for step in range(1, self.strategy.steps(self.model) + 1):
            state = self.exchange(state, number, step)
        return state

    def accuracy(self, state: ServerState) -> float:
        """Of the global net on all examples."""
        right = 0
        for data in self.clients.values():
            found = outputs(self.model, state.weights, data.inputs).argmax(1)
            right += int((found == data.targets.numpy()).sum())
        return right / sum(len(data) for data in self.clients.values())


def federation(model: nn.Module, clients: int = 3, **params: object) -> Federation:
    """Clients of different size with data of their own."""
    data = {f"c{k}": examples_for(model, 60 + 12 * k, k) for k in range(clients)}
    settings = TrainSettings(epochs=2, batch_size=16, learning_rate=0.1, momentum=0.5)
    return Federation(FedMA(**params), model, data, settings)


def same(one: ServerState, two: ServerState) -> bool:
    """Whether two states have the same bytes."""

    def listed(state: ServerState) -> list[tuple[str, str, str, bytes]]:
        parts = {"": state.weights, **state.parts}
        return [
            (part, name, str(array.dtype) + str(array.shape), array.tobytes())
            for part, tensors in sorted(parts.items())
            for name, array in sorted(tensors.items())
        ]

    return listed(one) == listed(two) and dict(one.counters) == dict(two.counters)

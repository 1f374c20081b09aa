"""A federation in memory: any algorithm, drawn clients, stragglers and hostile ones. No chain, gate or votes.

What a run of Foedus does between them is the same: training, the filter for updates, weights, merging.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from torch import nn

from foedus.core.canonical import derive_seed
from foedus.core.errors import UpdateRefused
from foedus.core.ids import ClientId
from foedus.learn.aggregation import client_weights
from foedus.learn.algorithms._steps import STEPS, with_steps
from foedus.learn.batched import train_serial
from foedus.learn.evaluation import Evaluation, evaluate
from foedus.learn.examples import Examples
from foedus.learn.robust import MEAN, NoCentre, RobustRule
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Weights

Clients: TypeAlias = Mapping[ClientId, Examples]

Attack: TypeAlias = Callable[[Weights, Sequence[Weights], Weights], Weights]
"""From (a hostile client's own update, the honest updates, the server's weights) to what it hands over."""

EpochsOf: TypeAlias = Callable[[int, Sequence[ClientId]], Mapping[ClientId, int]]
"""From a round's number and clients to how many local epochs each of them manages."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a federation runs, whatever its algorithm. The seed decides who is drawn and all orders."""

    seed: int
    training: TrainSettings
    fraction: float = 1.0  # C: max(⌊C·K⌋, 1) clients per round
    robust: RobustRule = MEAN
    cap_ratio: float = 3.0  # most examples that count, in medians
    hostile: Mapping[ClientId, Attack] = field(default_factory=dict)
    epochs_of: EpochsOf | None = None  # without it everybody makes all epochs
    drops_stragglers: bool = False  # whether those with fewer epochs are left out


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number from 1, who took part, whose updates were refused, and the state after it."""

    number: int
    clients: Sequence[ClientId]
    refused: Sequence[ClientId]
    state: ServerState


class Federation:
    """A model, an algorithm and clients with their data."""

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy,
        clients: Clients,
        setting: Setting,
        start: Weights | None = None,
    ) -> None:
        self.model, self.strategy, self.clients, self.setting = model, strategy, clients, setting
        self.structure = copy.deepcopy(model)
        strategy.check(model, setting.robust)
        self.state = strategy.init(weights_of(model) if start is None else start)
        self.memories: dict[ClientId, Weights] = {}
        self.epochs: Mapping[ClientId, int] = {}  # of this round, where they differ
        self.number = 0

    def rounds(self, count: int) -> Iterator[Round]:
        """Run rounds one by one, yielding each after its merge."""
        for _ in range(count):
            yield self.round()

    def round(self) -> Round:
        """Draw clients and make all exchanges of one round."""
        self.number += 1
        drawn = self._drawn()
        refused: set[ClientId] = set()
        for step in range(1, self.strategy.steps(self.structure) + 1):
            present = [client for client in drawn if client not in refused]
            refused.update(self._exchange(present, step))
        return Round(self.number, drawn, sorted(refused), self.state)

    def evaluate(self, data: Examples, labels: int) -> Evaluation:
        """Score the global model."""
        self.strategy.fit(self.model, self.state.weights)
        return evaluate(self.model, data, labels, batch_size=1000)

    def _drawn(self) -> list[ClientId]:
        everybody = sorted(self.clients)
        count = max(int(Fraction(str(self.setting.fraction)) * len(everybody)), 1)
        random = np.random.default_rng(derive_seed(self.setting.seed, "draw", self.number))
        drawn = [everybody[index] for index in sorted(random.choice(len(everybody), count, replace=False))]
        if self.setting.epochs_of is None:
            return drawn
        self.epochs = self.setting.epochs_of(self.number, drawn)
        if not self.setting.drops_stragglers:
            return drawn
        return [client for client in drawn if self.epochs[client] == self.setting.training.epochs]

    def _exchange(self, clients: Sequence[ClientId], step: int) -> list[ClientId]:
        """Train, check and merge; return whose updates were refused: all of them if there is no centre."""
        results = {client: self._train(client, step) for client in clients}
        handed_over = self._handed_over(results)
        rules = self._rules(step)
        usable = [client for client in clients if self._is_usable(client, handed_over[client], rules)]
        counts = [results[client].num_examples for client in usable]
        weights = (
            client_weights(counts, [0] * len(counts), cap_ratio=self.setting.cap_ratio) if counts else []
        )
        updates = [
            Update(client, MemorySource(handed_over[client]), weight)
            for client, weight in zip(usable, weights, strict=True)
        ]
        try:
            self.state = self.strategy.aggregate(self.state, updates, rules)
        except NoCentre:
            return list(clients)
        for client in usable:
            self.memories[client] = results[client].memory
        return [client for client in clients if client not in usable]

    def _train(self, client: ClientId, step: int) -> LocalResult:
        seed = derive_seed(self.setting.seed, self.number, client) + step
        training, data = self.setting.training, self.clients[client]
        training = replace(training, epochs=self.epochs.get(client, training.epochs))
        if self.strategy.plain_pull is None or not training.epochs:
            turn = Turn(client, seed, step, self.memories.get(client, {}))
            return self.strategy.train(self.model, self.state, data, training, turn)
        pull = self.strategy.plain_pull
        batch = train_serial(self.model, self.state.weights, [data], training, [seed], mu=pull)
        own = {name: rows[0] for name, rows in batch.weights.items()}
        losses = tuple(float(loss) for loss in batch.losses[0])
        result = LocalResult(own, len(data), int(batch.steps[0]), losses)
        tells = STEPS in self.strategy.update_specs(self.state, client, self._rules(step))
        return with_steps(result) if tells else result

    def _handed_over(self, results: Mapping[ClientId, LocalResult]) -> dict[ClientId, Weights]:
        honest = [r.handed_over for client, r in results.items() if client not in self.setting.hostile]
        return {
            client: self.setting.hostile[client](result.handed_over, honest, self.state.weights)
            if client in self.setting.hostile
            else result.handed_over
            for client, result in results.items()
        }

    def _is_usable(self, client: ClientId, update: Weights, rules: MergeRules) -> bool:
        expected = self.strategy.update_specs(self.state, client, rules)
        try:
            check_update(MemorySource(update), expected, self.state.weights, rules.parts)
        except UpdateRefused:
            return False
        return True

    def _rules(self, step: int) -> MergeRules:
        return MergeRules(
            parts_of(self.structure),
            robust=self.setting.robust,
            model=self.structure,
            step=step,
            learning_rate=self.setting.training.learning_rate,
            momentum=self.setting.training.momentum,
        )

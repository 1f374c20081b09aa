"""SCAFFOLD. Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: SCAFFOLD: stochastic controlled averaging for
federated learning. ICML 2020. https://arxiv.org/abs/1910.06378 (Algorithm 1, option II)

    each client k:  K_k steps of  w ← w − η_l (∇F_k(w) + c − c_k)  from θ;   θ_k = w
    server:         c_k⁺ = c_k − c + (θ − θ_k) / (K_k η_l)
                    θ ← θ + η_g Σ_k w_k (θ_k − θ)        c ← c + |S|/N · Σ_k w_k (c_k⁺ − c_k)      Σ_k w_k = 1

`weight_by="uniform"` is the published algorithm, which minimises the plain mean of the clients' objectives;
"examples" minimises the mean over all examples, as the other algorithms do. N is `clients`, or else the
number of clients that have taken part so far; when that grows, c is spread over them, c ← c N_before / N.

The control variates belong to the server state: every member computes them from the updates, clients upload
their models and numbers of steps only, and a rejected round takes them back. That option II measures the mean
gradient needs plain SGD: `training.momentum` must be 0.

Nobody can check how many steps a client made, and too small a K_k makes c_k⁺ too long, which drives everybody
away in the next round. From three clients on, K_k is therefore at least a quarter of what the median client
claims for as many examples, and no c_k moves further than three times the median ‖c_k⁺‖ of the round.

When to use it: when clients' data differ much and the same clients come back; it removes the drift that
FedAvg has with many local steps. Cost: the state holds one model per client and one for the server.
"""

import dataclasses
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from foedus.core.errors import InvalidSpec
from foedus.core.ids import ClientId
from foedus.learn.algorithms._clip import FEWEST, Shortened, factors, lengths_of, limit_of
from foedus.learn.algorithms._delta import (
    WEIGHT_BY,
    WeightBy,
    centre,
    contributing,
    extra_of,
    mean_of_models,
    rest_of,
)
from foedus.learn.algorithms._moves import moves_of
from foedus.learn.algorithms._steps import STEPS, with_steps
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.strategy import (
    SERVER,
    MergeRules,
    ServerState,
    StateParts,
    Strategy,
    Turn,
    Update,
    part_of,
)
from foedus.learn.training import DEFAULT_SETTINGS, LocalResult, TrainSettings, local_sgd
from foedus.learn.vectors import Block, Difference, Vector, filled, moved
from foedus.learn.weights import Array, Specs, Weights

_SLOWEST = 4  # a client's pace is at least the median's, divided by this
_FURTHEST = 3.0  # in medians of ‖c_k⁺‖


class ControlVariate:
    """The constant correction c − c_k of every gradient; it adds nothing to the objective."""

    def __init__(self, model: nn.Module, correction: Weights) -> None:
        self._pairs = [
            (parameter, torch.tensor(correction[name]).to(parameter))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and name in correction
        ]

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add the correction to the gradients; parameters without gradient did not move and stay without."""
        used = [(p.grad, correction) for p, correction in self._pairs if p.grad is not None]
        if used:
            torch._foreach_add_([grad for grad, _ in used], [correction for _, correction in used])

    def value(self) -> float:
        """Return 0."""
        return 0.0


@dataclass(frozen=True)
class Scaffold(Strategy):
    """FedAvg whose clients correct every step for how their gradient differs from everybody's."""

    server_lr: float = 1.0
    clients: int = 0
    weight_by: WeightBy = "examples"

    name: ClassVar[str] = "scaffold"
    title: ClassVar[str] = "SCAFFOLD"
    source: ClassVar[str] = "Karimireddy et al., ICML 2020, arXiv:1910.06378"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("server_lr", 1.0, "η_g, step of the server", low=0.0, high=100.0),
        Parameter(
            "clients", 0, "N, all clients there are; 0: those that took part so far", low=0, high=10**9
        ),
        WEIGHT_BY,
    )

    def update_specs(self, state: ServerState, client: ClientId, rules: MergeRules) -> Specs:
        """Return the model's tensors and the number of steps."""
        return {**super().update_specs(state, client, rules), STEPS: ("I64", ())}

    def check(
        self, model: nn.Module, robust: RobustRule = MEAN, settings: TrainSettings = DEFAULT_SETTINGS
    ) -> None:
        """Refuse training that is not plain SGD."""
        _require_plain(settings.momentum, settings.learning_rate)

    @property
    def plain_pull(self) -> None:
        """Every step is corrected by what the state says of the client."""

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Train by corrected SGD.

        Raises `InvalidSpec` when the settings have a momentum, and `TaskFailed` when no step could be made.
        """
        _require_plain(settings.momentum, settings.learning_rate)
        self.fit(model, state.weights)
        own, common = state.parts.get(part_of(turn.client), {}), state.parts.get(SERVER, {})
        correction = {name: _difference(common[name], own.get(name)) for name in common}
        penalty = ControlVariate(model, correction) if correction else None
        result = local_sgd(
            model,
            data,
            settings,
            turn.seed,
            penalty=penalty,
            on_step=turn.on_step,
            checkpoints=turn.checkpoints,
        )
        return with_steps(result)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Move the model and all control variates."""
        _require_plain(rules.momentum, rules.learning_rate)
        ordered = contributing(updates, self.weight_by)
        if not ordered:
            return state
        server, weights = state.weights, [update.weight for update in ordered]
        controls = _next_controls(state, contributing(updates), rules)
        parts = {**state.parts, **{part_of(client): new for client, new in controls.items()}}
        changes = [_Change(new, state.parts.get(part_of(client), {})) for client, new in controls.items()]
        change = centre(changes, weights, server, rules, rules.parts.trainable)
        known, total = self._count(state.parts), self._count(parts)
        parts[SERVER] = _next_common(state, change, rules, known / total, len(ordered) / total)
        return dataclasses.replace(state, weights=self._next_model(state, ordered, rules), parts=parts)

    def _next_model(self, state: ServerState, ordered: Sequence[Update], rules: MergeRules) -> Weights:
        if self.server_lr == 1:
            return mean_of_models(state, ordered, rules)
        server = state.weights
        vectors = moves_of(ordered, server)
        delta = centre(vectors, [update.weight for update in ordered], server, rules)

        def step(name: str, start: int, stop: int) -> Block:
            return delta.block(name, start, stop) * self.server_lr

        return {**moved(server, rules.parts.trainable, step), **rest_of(ordered, server, rules, delta)}

    def _count(self, parts: StateParts) -> int:
        """Return N: as given, or how many clients have a control variate."""
        return max(self.clients, len(parts.keys() - {SERVER}))


@dataclass(frozen=True, slots=True)
class _Change:
    """new − old, where a tensor that is in neither is 0."""

    new: Weights
    old: Weights

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the difference."""
        if name in self.new:
            change = self.new[name].reshape(-1)[start:stop].astype(np.float64)
        else:
            change = np.zeros(stop - start)
        if name in self.old:
            change -= self.old[name].reshape(-1)[start:stop].astype(np.float64)
        return change


def believed_steps(updates: Sequence[Update]) -> list[float]:
    """Return K_k: what each client claims, but at least a quarter of the median's steps per example.

    Honest claims of clients that train alike are believed as they are. Clients with less than four batches
    make more steps per example, and may be thought a little faster than they are.
    """
    claims = [Fraction(max(extra_of(update.source, STEPS), 1)) for update in updates]
    if len(updates) < FEWEST:
        return [float(claim) for claim in claims]
    examples = [Fraction(update.weight, update.bonus) for update in updates]
    pace = statistics.median_low([claim / count for claim, count in zip(claims, examples, strict=True)])
    return [float(max(k, pace * count / _SLOWEST)) for k, count in zip(claims, examples, strict=True)]


def _next_controls(
    state: ServerState, updates: Sequence[Update], rules: MergeRules
) -> dict[ClientId, Weights]:
    """Return the clients' new control variates, moved towards c_k⁺ and not too far."""
    controls = {
        update.client: _next_control(state, update, steps, rules)
        for update, steps in zip(updates, believed_steps(updates), strict=True)
    }
    if len(controls) < FEWEST:
        return controls
    olds = [state.parts.get(part_of(client), {}) for client in controls]
    changes = [_Change(new, old) for new, old in zip(controls.values(), olds, strict=True)]
    names, server = rules.parts.trainable, state.weights
    limit = limit_of(lengths_of([_Change(new, {}) for new in controls.values()], server, names), _FURTHEST)
    shortened = factors(lengths_of(changes, server, names), limit)
    for client, old, change, factor in zip(list(controls), olds, changes, shortened, strict=True):
        if factor != 1:
            controls[client] = _moved_control(old, Shortened(change, factor), server, names)
    return controls


def _moved_control(old: Weights, change: Vector, server: Weights, names: Collection[str]) -> Weights:
    """Return c_k + change; there is no c_k before a client's first turn."""
    base = {name: old.get(name, np.zeros(server[name].shape, server[name].dtype)) for name in names}
    return moved(base, names, change.block)


def _next_control(state: ServerState, update: Update, steps: float, rules: MergeRules) -> Weights:
    """Return c_k⁺ in the parameters' own types, saturated at their limits."""
    old = _Change(state.parts.get(part_of(update.client), {}), state.parts.get(SERVER, {}))  # c_k − c
    moves = Difference(update.source, state.weights)
    divisor = -(steps * rules.learning_rate)

    def control(name: str) -> Array:
        like = state.weights[name]
        limit = float(np.finfo(like.dtype.char).max)

        def values(start: int, stop: int) -> Block:
            block = moves.block(name, start, stop)
            block /= divisor
            block += old.block(name, start, stop)
            return np.clip(block, -limit, limit, out=block)

        return filled(like, like.dtype, values)

    return {name: control(name) for name in rules.parts.trainable}


def _next_common(state: ServerState, change: Vector, rules: MergeRules, kept: float, share: float) -> Weights:
    """Return c ← kept · c + share · change, in float64."""
    old = state.parts.get(SERVER, {})

    def common(name: str) -> Array:
        def values(start: int, stop: int) -> Block:
            block = change.block(name, start, stop)
            block *= share
            if name in old:
                block += old[name].reshape(-1)[start:stop].astype(np.float64) * kept
            return block

        return filled(state.weights[name], np.dtype(np.float64), values)

    return {name: common(name) for name in rules.parts.trainable}


def _difference(common: Array, own: Array | None) -> Array:
    exact = common.astype(np.float64)
    return exact if own is None else exact - own.astype(np.float64)


def _require_plain(momentum: float, learning_rate: float) -> None:
    if momentum:
        raise InvalidSpec("SCAFFOLD trains by plain SGD", "Set the momentum of training to 0.")
    if not learning_rate > 0:
        raise InvalidSpec("SCAFFOLD divides by the learning rate of training", "Set it above 0.")

"""FedNova. Wang, Liu, Liang, Joshi, Poor: Tackling the objective inconsistency problem in heterogeneous
federated optimization. NeurIPS 2020. https://arxiv.org/abs/2007.07481

    each client k:  τ_k steps of SGD with momentum ρ on F_k(w) + (μ/2) ‖w − θ‖²;   θ_k = w
    server:         θ ← θ + τ_eff Σ_k p_k (θ_k − θ) / a_k        τ_eff = Σ_k p_k a_k        p_k ∝ n_k

a_k is by how much a constant gradient of 1 would have moved client k, divided by the learning rate η:

    a ← a + v,  v ← ρ v + 1 − η μ a   after each step, from 0        plain SGD: a_k = τ_k
    momentum:  (τ − ρ (1 − ρ^τ) / (1 − ρ)) / (1 − ρ)                 proximal: (1 − (1 − η μ)^τ) / (η μ)

τ_eff is what makes clients with equal steps average exactly as FedAvg does. The released code takes Σ p_k τ_k
instead when μ > 0; that is the same step but for its length. A client's a_k counts in τ_eff at most
`cap_ratio` times the median, since nobody can check how many steps a client says it made.

When to use it: when clients take unequal numbers of steps because they have unequal amounts of data or time:
FedAvg then favours those with more steps. Cost: that of FedAvg and one number per update.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foedus.core.errors import InvalidSpec
from foedus.core.ids import ClientId
from foedus.learn.algorithms._delta import (
    Split,
    centre,
    contributing,
    extra_of,
    mean_of_models,
    reduced,
    rest_of,
)
from foedus.learn.algorithms._moves import Moves
from foedus.learn.algorithms._steps import STEPS, steps_beside, with_steps
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Turn, Update
from foedus.learn.training import DEFAULT_SETTINGS, LocalResult, TrainSettings
from foedus.learn.vectors import Block, moved
from foedus.learn.weights import Array, Specs, Weights


@dataclass(frozen=True)
class FedNova(Strategy):
    """Average the clients' moves per step, so that nobody counts more for having made more steps."""

    mu: float = 0.0
    cap_ratio: float = 10.0

    name: ClassVar[str] = "fednova"
    title: ClassVar[str] = "FedNova"
    source: ClassVar[str] = "Wang et al., NeurIPS 2020, arXiv:2007.07481"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("mu", 0.0, "proximal weight of local training, (mu/2)·Σ‖w−θ‖²", low=0.0, high=1000.0),
        Parameter(
            "cap_ratio", 10.0, "steps count in τ_eff up to this many times the median", low=1.0, high=1e9
        ),
    )

    def update_specs(self, state: ServerState, client: ClientId, rules: MergeRules) -> Specs:
        """Return the model's tensors and the number of steps."""
        return {**super().update_specs(state, client, rules), STEPS: ("I64", ())}

    def check(
        self, model: nn.Module, robust: RobustRule = MEAN, settings: TrainSettings = DEFAULT_SETTINGS
    ) -> None:
        """Refuse momentum and pull that have no common closed form."""
        reach(1, settings.momentum, self.mu * settings.learning_rate)

    @property
    def plain_pull(self) -> float:
        """SGD, with the pull if any."""
        return self.mu

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Train by SGD, with the pull towards the base if any.

        Raises `InvalidSpec` as `reach` does, and `TaskFailed` when there is no batch to make a step on.
        """
        reach(1, settings.momentum, self.mu * settings.learning_rate)  # the merge needs it, too
        return with_steps(super().train(model, state, data, settings, turn))

    def hand_over(self, weights: Weights, steps: int | Array) -> Weights:
        """Return the model and the number of steps."""
        return steps_beside(weights, steps)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Move by the mean of the normalised moves."""
        ordered = contributing(updates)
        if not ordered:
            return state
        reaches = [
            reach(extra_of(update.source, STEPS), rules.momentum, self.mu * rules.learning_rate)
            for update in ordered
        ]
        if len(set(reaches)) == 1:
            return dataclasses.replace(state, weights=mean_of_models(state, ordered, rules))
        return dataclasses.replace(state, weights=self._merged(state.weights, ordered, reaches, rules))

    def _merged(
        self, server: Weights, ordered: Sequence[Update], reaches: Sequence[float], rules: MergeRules
    ) -> Weights:
        names, weights = frozenset(rules.parts.trainable), [update.weight for update in ordered]
        shares = reduced(weights)
        moves = Moves(server)
        vectors = [
            Split(moves.of(update.source, 1 / a), moves.of(update.source), names)
            for update, a in zip(ordered, reaches, strict=True)
        ]
        delta = centre(vectors, weights, server, rules)
        cap = self.cap_ratio * statistics.median(reaches)
        products = [share * min(a, cap) for share, a in zip(shares, reaches, strict=True)]
        effective = math.fsum(products) / math.fsum(shares)

        def step(name: str, start: int, stop: int) -> Block:
            return delta.block(name, start, stop) * effective

        return {**moved(server, rules.parts.trainable, step), **rest_of(ordered, server, rules, delta)}


def reach(steps: int, momentum: float, pull: float) -> float:
    """Return a_k: how far a constant gradient of 1 moves a client in `steps` steps, in learning rates.

    `pull` is η μ. One step's linear map is squared repeatedly, so that any number of steps is quick; the C
    library's `pow` would differ between systems. At least 1, a single step's reach, since strong momentum and
    pull together swing. Raises `InvalidSpec` when momentum or pull lie outside [0, 1): that never settles.
    """
    if not (0 <= momentum < 1 and 0 <= pull < 1):
        raise InvalidSpec(
            f"FedNova cannot normalise steps with momentum {momentum:g} and mu · learning rate {pull:g}",
            "Both must lie in [0, 1).",
        )
    # (a, v) → (a', v'):  v' = momentum · v − pull · a + 1,  a' = a + v'.
    once = _Affine(1 - pull, momentum, -pull, momentum, 1.0, 1.0)
    total = _Affine(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    while steps:
        if steps & 1:
            total = total.after(once)
        once, steps = once.after(once), steps >> 1
    return max(total.a, 1.0)


@dataclass(frozen=True, slots=True)
class _Affine:
    """(x, y) → (xx · x + xy · y + a, yx · x + yy · y + v)."""

    xx: float
    xy: float
    yx: float
    yy: float
    a: float
    v: float

    def after(self, first: "_Affine") -> "_Affine":
        """Return the map that applies `first`, then this one."""
        return _Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            self.xx * first.a + self.xy * first.v + self.a,
            self.yx * first.a + self.yy * first.v + self.v,
        )

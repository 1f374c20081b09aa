"""FedHEAL. Chen, Huang, Ye: Fair federated learning under domain skew with local consistency and domain
diversity. CVPR 2024. https://arxiv.org/abs/2405.16585

FPHL: of client k's n-th update only elements count that point where its earlier updates mostly pointed.
With u = θ − θ_k and I the share of its n − 1 earlier updates in which u ≥ 0, per element:

    C = I if u ≥ 0 else 1 − I        M = 1[C > τ], and 1 everywhere when n = 1

FAEL: clients that are far from the global model count more, by the length of what is left of their updates.

    d_k = Σ_tensors ‖M ⊙ u‖₂         Δp_k ← (1 − β) Δp_k + β d_k / Σ_j d_j        p_k ← p_k + Δp_k
    q_k = p_k / Σ_j p_j              θ[i] ← θ[i] − Σ_k q_k M_k[i] u_k[i] / Σ_k q_k M_k[i]

Sums run over the clients of the round, whose p start at 1/|S|; an element that nobody keeps stays as it is.
`store="normalised"` scales the p of a round back to the sum they had before, so that clients who come late or
seldom keep a fair share; "running_sum" is the released code, for clients who all take part in every round.
Because longer updates weigh more, they are first shortened to `clip_ratio` times the median length. Rewards
multiply q; what is stored knows nothing of them. How many examples clients have does not matter, except for
`p0="examples"`. Counts have 16 bits: after 32,766 rounds a client's history is halved; shares stay.

When to use it: when clients' data come from different domains (scanners, sites) and the worst served matters.
Cost: nothing for clients; the server state holds two bytes per parameter and client.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from torch import nn

from foedus.core.errors import InvalidSpec
from foedus.core.ids import ClientId
from foedus.learn.aggregation import merged_rest
from foedus.learn.algorithms._clip import CLIP_RATIO, LONGEST, factors, limit_of
from foedus.learn.algorithms._consistency import History, Observation, masked_mean, see_all
from foedus.learn.algorithms._delta import contributing, reduced, rest_of
from foedus.learn.algorithms._moves import moves_of
from foedus.learn.arguments import Parameter
from foedus.learn.robust import MEAN, RobustRule, medians, select
from foedus.learn.robust.rule import SELECTING
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update, part_of
from foedus.learn.training import DEFAULT_SETTINGS, TrainSettings
from foedus.learn.vectors import Block, Difference, Known, Vector, moved
from foedus.learn.weights import Weights

_ROUNDS, _WEIGHT, _CHANGE = "@rounds", "@p", "@dp"
_BUFFER_STEPS = 1 << 53  # shares become whole numbers of these for the mean of the buffers


@dataclass(frozen=True, slots=True)
class Share:
    """A client's weight p, and Δp, by how much it last grew."""

    weight: float
    change: float = 0.0


@dataclass(frozen=True)
class FedHeal(Strategy):
    """Drop what contradicts a client's history, and weigh clients by their distance from the model."""

    tau: float = 0.3
    beta: float = 0.4
    store: Literal["normalised", "running_sum"] = "normalised"
    p0: Literal["uniform", "examples"] = "uniform"
    clip_ratio: float = 3.0

    name: ClassVar[str] = "fedheal"
    title: ClassVar[str] = "FedHEAL"
    source: ClassVar[str] = "Chen, Huang, Ye, CVPR 2024, arXiv:2405.16585"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("tau", 0.3, "share of the history that must agree; below 0: no mask", low=-1.0, high=1.0),
        Parameter("beta", 0.4, "how fast weights follow distances; 0: not at all", low=0.0, high=1.0),
        Parameter(
            "store",
            "normalised",
            "weights kept comparable between rounds, or summed up as in the released code",
            choices=("normalised", "running_sum"),
        ),
        Parameter("p0", "uniform", "a client's first weight", choices=("uniform", "examples")),
        CLIP_RATIO,
    )

    def check(
        self, model: nn.Module, robust: RobustRule = MEAN, settings: TrainSettings = DEFAULT_SETTINGS
    ) -> None:
        """Refuse robust rules that leave nobody's own update to be masked and weighed."""
        if robust.rule not in SELECTING:
            raise InvalidSpec(
                f"FedHEAL weighs each client's own update, which {robust.rule!r} does not keep",
                f"Use one of {', '.join(SELECTING)}, with clipping or mixing if you like.",
            )

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Move every element by the weighted mean of the updates that are consistent there."""
        present = contributing(updates)
        if not present:
            return state
        server, names = state.weights, rules.parts.trainable
        ordered, vectors = _admitted(present, server, rules)
        seen = [
            Observation(vector, _history(state, update.client), self.tau)
            for update, vector in zip(ordered, vectors, strict=True)
        ]
        see_all(seen, server, names)
        lengths = [one.length for one in seen]
        scales = factors(lengths, limit_of(lengths, self.clip_ratio))
        distances = [scale * min(one.distance, LONGEST) for one, scale in zip(seen, scales, strict=True)]
        shares, stored = self.weigh(self._shares(state, ordered), distances)
        portions = rewarded(shares, [update.bonus for update in ordered])

        def step(name: str, start: int, stop: int) -> Block:
            return masked_mean(seen, portions, scales, name, start, stop)

        merged = {**moved(server, names, step), **_rest(ordered, portions, server, rules)}
        parts = {
            part_of(update.client): _remembered(one.history, share)
            for update, one, share in zip(ordered, seen, stored, strict=True)
        }
        return dataclasses.replace(state, weights=merged, parts={**state.parts, **parts})

    def weigh(self, shares: Sequence[Share], distances: Sequence[float]) -> tuple[list[float], list[Share]]:
        """Return q of this round's clients, and what to store about them (FAEL)."""
        total = math.fsum(distances)
        weights, changes = [], []
        for share, distance in zip(shares, distances, strict=True):
            part = distance / total if total else 1 / len(shares)
            changes.append((1 - self.beta) * share.change + self.beta * part)
            weights.append(share.weight + changes[-1])
        after = math.fsum(weights)
        kept = math.fsum(share.weight for share in shares) / after if self.store == "normalised" else 1.0
        stored = [Share(weight * kept, change) for weight, change in zip(weights, changes, strict=True)]
        return [weight / after for weight in weights], stored

    def _shares(self, state: ServerState, ordered: Sequence[Update]) -> list[Share]:
        """Return what is stored about these clients, p = `p0` for those who are here for the first time."""
        first = [1 / len(ordered)] * len(ordered)
        if self.p0 == "examples":
            counts = [Fraction(update.weight, update.bonus) for update in ordered]
            first = [float(count / sum(counts)) for count in counts]
        shares = []
        for update, weight in zip(ordered, first, strict=True):
            part = state.parts.get(part_of(update.client))
            if part is None:
                shares.append(Share(weight))
            else:
                shares.append(Share(float(part[_WEIGHT].item()), float(part[_CHANGE].item())))
        return shares


def rewarded(shares: Sequence[float], bonuses: Sequence[int]) -> list[float]:
    """Return q_k (1 + κ r_k) / Σ (ALGORITHMS §8)."""
    products = [share * bonus for share, bonus in zip(shares, reduced(bonuses), strict=True)]
    total = math.fsum(products)
    return [product / total for product in products]


def _admitted(
    ordered: Sequence[Update], server: Weights, rules: MergeRules
) -> tuple[Sequence[Update], Sequence[Vector]]:
    """Return the updates that the project's robust rule lets through, and their vectors as it leaves them."""
    vectors = moves_of(ordered, server)
    if rules.robust.is_plain:
        return ordered, vectors
    names = rules.parts.trainable
    sizes = {name: server[name].size for name in names}
    chosen = select(vectors, [1.0] * len(vectors), sizes, names, rules.robust)
    return [ordered[client] for client in chosen.clients], chosen.vectors


def _rest(
    ordered: Sequence[Update], portions: Sequence[float], server: Weights, rules: MergeRules
) -> Weights:
    """Merge the buffers with the same weights as the parameters, to within 2⁻⁵³; robustly, if anything is."""
    if not rules.robust.is_plain:
        moves = [Difference(update.source, server) for update in ordered]
        sizes = {name: server[name].size for name in rules.parts.float_buffers}
        return rest_of(ordered, server, rules, Known(medians(moves, sizes)))
    sources = [update.source for update in ordered]
    weights = [round(portion * _BUFFER_STEPS) for portion in portions]
    return merged_rest(sources, weights, server, rules.parts, rules.buffer_mode)


def _history(state: ServerState, client: ClientId) -> History:
    part = state.parts.get(part_of(client))
    if part is None:
        return History({})
    counts = {name: counts for name, counts in part.items() if not name.startswith("@")}
    return History(counts, int(part[_ROUNDS].item()))


def _remembered(history: History, share: Share) -> Weights:
    return {
        **history.counts,
        _ROUNDS: np.array(history.rounds, np.int64),
        _WEIGHT: np.array(share.weight),
        _CHANGE: np.array(share.change),
    }

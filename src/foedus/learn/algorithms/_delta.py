"""What algorithms share that move the server by the mean, or robust centre, of the clients' vectors.

    Δ = Σ_k w_k v_k / Σ_k w_k        v_k = θ_k − θ, a gradient, …        clients by id

All in float64 and element-wise, block by block; the new tensors are rounded once.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from foedus.learn.aggregation import merged_rest
from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.arguments import Parameter
from foedus.learn.robust import combine
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.vectors import Block, Known, Step, Vector, moved, weighted_sum
from foedus.learn.weights import Array, Spec, TensorSource, Weights

WeightBy: TypeAlias = Literal["examples", "uniform"]

WEIGHT_BY = Parameter(
    "weight_by",
    "examples",
    "what a client's weight follows: its number of examples, or nothing (rewards count in both)",
    choices=("examples", "uniform"),
)


def contributing(updates: Iterable[Update], weight_by: WeightBy = "examples") -> list[Update]:
    """Return the updates that carry weight, by client id. `uniform`: weighted by their rewards alone."""
    ordered = sorted((update for update in updates if update.weight), key=lambda update: update.client)
    if weight_by == "uniform":
        return [dataclasses.replace(update, weight=update.bonus) for update in ordered]
    return ordered


def centre(
    vectors: Sequence[Vector],
    weights: Sequence[int],
    server: Weights,
    rules: MergeRules,
    names: Collection[str] | None = None,
) -> Vector:
    """Return Δ: the weighted mean of the vectors, or what the project's robust rule makes of them.

    `names`: the tensors it is asked for; by default the trainable ones and, under a robust rule, the float
    buffers. Nothing is read before that, unless the rule is robust.
    """
    shares = reduced(weights)
    if rules.robust.is_plain:
        return _Mean(vectors, shares, math.fsum(shares))
    wanted = names or (*rules.parts.trainable, *rules.parts.float_buffers)
    sizes = {name: server[name].size for name in wanted}
    return Known(combine(vectors, shares, sizes, rules.parts.trainable, rules.robust))


def rest_of(updates: Sequence[Update], server: Weights, rules: MergeRules, delta: Vector) -> Weights:
    """Merge all but the trainable tensors; under a robust rule float buffers follow `delta`."""
    sources, weights = [update.source for update in updates], [update.weight for update in updates]
    if rules.robust.is_plain:
        return merged_rest(sources, weights, server, rules.parts, rules.buffer_mode)
    others = dataclasses.replace(rules.parts, float_buffers=())
    merged = merged_rest(sources, weights, server, others)
    return {**merged, **moved(server, rules.parts.float_buffers, delta.block)}


def mean_of_models(state: ServerState, updates: Sequence[Update], rules: MergeRules) -> Weights:
    """Return what FedAvg would make of these updates, to the byte, whatever they carry beside the model."""
    models = [dataclasses.replace(update, source=_ModelOnly(update.source)) for update in updates]
    return merge_by_mean(state, models, rules).weights


def reduced(weights: Sequence[int]) -> list[float]:
    """Return the weights without their common divisor, so that scaling all of them changes no bit."""
    divisor = math.gcd(*weights) or 1
    return [float(weight // divisor) for weight in weights]


def extra_of(source: TensorSource, name: str) -> int:
    """Return the one number that an update carries under this name, which `check_update` has bounded."""
    return int(source.read(name).item())


@dataclass(frozen=True, slots=True)
class Split:
    """The trainable tensors from one vector and all others from another."""

    trainable: Vector
    others: Vector
    names: frozenset[str]  # of the trainable tensors

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the tensor from whichever vector has it."""
        return (self.trainable if name in self.names else self.others).block(name, start, stop)


class Moments:
    """Float64 tensors beside the model that a merge replaces block by block, e.g. a momentum.

    They are named `<which>/<tensor>` in the part of the state where they are kept.
    """

    def __init__(self, old: Weights, server: Weights) -> None:
        self._old, self._server = old, server
        self.tensors: dict[str, Array] = {}

    def read(self, which: str, name: str, start: int, stop: int, initial: float = 0.0) -> Block:
        """Return a copy of a part of the old tensor; `initial` everywhere when there is none."""
        key = f"{which}/{name}"
        if key not in self._old:
            return np.full(stop - start, initial)
        return self._old[key].reshape(-1)[start:stop].astype(np.float64)

    def write(self, which: str, name: str, start: int, values: Block) -> None:
        """Set a part of the new tensor."""
        key = f"{which}/{name}"
        if key not in self.tensors:
            self.tensors[key] = np.empty(self._server[name].shape)
        self.tensors[key].reshape(-1)[start : start + values.size] = values


def momentum_step(moments: Moments, delta: Vector, momentum: float, rate: float) -> Step:
    """Return the step of SGD with momentum:  m ← momentum · m + Δ;  step = rate · m."""

    def step(name: str, start: int, stop: int) -> Block:
        block = delta.block(name, start, stop)
        if momentum:
            block += moments.read("m", name, start, stop) * momentum
            moments.write("m", name, start, block)
        return block * rate

    return step


@dataclass(frozen=True, slots=True)
class _Mean:
    """Σ_k w_k v_k / Σ_k w_k."""

    vectors: Sequence[Vector]
    weights: Sequence[float]
    total: float

    def block(self, name: str, start: int, stop: int) -> Block:
        mean = weighted_sum(self.vectors, self.weights, name, start, stop)
        mean /= self.total
        return mean


@dataclass(frozen=True, slots=True)
class _ModelOnly:
    """An update without the numbers it carries beside the model."""

    source: TensorSource

    def names(self) -> Sequence[str]:
        return [name for name in self.source.names() if not name.startswith("@")]

    def spec(self, name: str) -> Spec:
        return self.source.spec(name)

    def read(self, name: str) -> Array:
        return self.source.read(name)

    def read_part(self, name: str, start: int, stop: int) -> Array:
        return self.source.read_part(name, start, stop)

"""The robust centre of updates, or the updates that a robust rule lets through."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.robust.clipping import centred_clipping
from foedus.learn.robust.coordinate import Network, median, median_network, trimmed_mean, trimming_network
from foedus.learn.robust.distances import parts_of
from foedus.learn.robust.geometric import geometric_median
from foedus.learn.robust.krum import chosen_by_krum
from foedus.learn.robust.points import Points, prepare, unchanged
from foedus.learn.robust.rule import SELECTING, NoCentre, RobustRule
from foedus.learn.vectors import Block, Vector

_HEAVIEST = 1e300  # so that sums of weights stay finite


@dataclass(frozen=True, slots=True)
class Selection:
    """The vectors that a rule lets through, the positions of the clients they stand for, and weights.

    `weights` are those given, or all 1 when the rule makes clients equal.
    """

    clients: Sequence[int]
    vectors: Sequence[Vector]
    weights: Sequence[float]


def combine(
    vectors: Sequence[Vector],
    weights: Sequence[float],
    shapes: Mapping[str, int],
    measured: Collection[str],
    rule: RobustRule,
) -> dict[str, Block]:
    """Return the robust centre of the vectors: for every name in `shapes` a new float64 array, (elements,).

    Vectors come sorted by client id and finite. `shapes` says how many elements a tensor has. Lengths and
    distances are those of the tensors in `measured` alone; the others (float buffers) get the median of each
    coordinate whatever the rule, for nothing else would bound what a hostile client puts into them.
    `weights` count for the rule `mean` without mixing only.

    A vector too long to be measured (1e150) counts as zero, as a client that did not move; plain median and
    trimmed mean do not measure. With fewer updates than `rule.fewest`, f is lowered: `RobustRule.withstands`.
    Reads every vector once, once more to clip, and once more for rules that measure distances. Memory beside
    the result: some 2 n blocks of 64 KiB, and n × n matrices.
    Raises `NoCentre`, and `InvalidData` when weights do not add up or nothing is to be measured.
    """
    points = prepare(vectors, shapes, measured, rule)
    own = {name: size for name, size in shapes.items() if name in measured}
    others = {name: size for name, size in shapes.items() if name not in measured}
    return {**_assembled(_centre(points, weights, rule), own), **medians(vectors, others)}


def medians(vectors: Sequence[Vector], shapes: Mapping[str, int]) -> dict[str, Block]:
    """Return the median of each coordinate, for tensors whose distances say nothing (float buffers)."""
    network = median_network(len(vectors))
    return _assembled(_CoordinateWise(unchanged(vectors), network, median), shapes)


def _centre(points: Points, weights: Sequence[float], rule: RobustRule) -> Vector:
    count = len(points.vectors)
    if rule.rule == "median":
        return _CoordinateWise(points, median_network(count), median)
    if rule.rule == "trimmed-mean":
        trimmed = partial(trimmed_mean, dropped=points.hostile)
        return _CoordinateWise(points, trimming_network(count, points.hostile), trimmed)
    return points.combination(_coefficients(points, weights, rule))


def select(
    vectors: Sequence[Vector],
    weights: Sequence[float],
    shapes: Mapping[str, int],
    measured: Collection[str],
    rule: RobustRule,
) -> Selection:
    """Return the vectors that the rule lets through, for algorithms that need the clients kept apart.

    Arguments and errors as of `combine`. `clip` and `mix` change vectors, Krum and Multi-Krum choose of them.
    The vectors returned are read when somebody reads them; one that was mixed reads n − f others each time.
    Raises `InvalidSpec` for rules that make one new vector of all.
    """
    if rule.rule not in SELECTING:
        hint = f"With this algorithm use one of {', '.join(SELECTING)}, with clip and mix as you like."
        raise InvalidSpec(f"{rule.rule} does not keep the clients apart", hint)
    points = prepare(vectors, shapes, measured, rule)
    _total(weights, len(vectors))
    clients: Sequence[int] = range(len(vectors))
    if rule.rule != "mean":
        clients = chosen_by_krum(points.geometry.distances, points.hostile, rule.rule == "krum")
    is_weighted = rule.rule == "mean" and not rule.mix
    return Selection(
        list(clients),
        [points.point(client) for client in clients],
        [float(weights[client]) if is_weighted else 1.0 for client in clients],
    )


@dataclass(frozen=True, slots=True)
class _CoordinateWise:
    """A vector made element by element from sorted points."""

    points: Points
    network: Network
    centre: Callable[[list[Block], Network], Block]

    def block(self, name: str, start: int, stop: int) -> Block:
        return self.centre(self.points.blocks(name, start, stop), self.network)


def _coefficients(points: Points, weights: Sequence[float], rule: RobustRule) -> Block:
    """Return by what to multiply each point, (n), for the rules that make a combination of them."""
    count = len(points.vectors)
    if rule.rule == "geometric-median":
        return geometric_median(points.geometry, rule.iterations, rule.smoothing)
    if rule.rule == "centred-clipping":
        return centred_clipping(points.geometry, rule.iterations, rule.radius)
    if rule.rule == "mean":
        total = _total(weights, count)
        return np.full(count, 1.0 / count) if rule.mix else np.array([weight / total for weight in weights])
    chosen = list(chosen_by_krum(points.geometry.distances, points.hostile, rule.rule == "krum"))
    coefficients = np.zeros(count)
    coefficients[chosen] = 1.0 / len(chosen)
    return coefficients


def _assembled(centre: Vector, shapes: Mapping[str, int]) -> dict[str, Block]:
    result = {name: np.empty(size) for name, size in shapes.items()}
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused, not used
        for name, start, stop in parts_of(shapes, shapes):
            block = centre.block(name, start, stop)
            if not np.isfinite(block).all():
                raise NoCentre("far", f"the updates of tensor {name!r} are too far apart to be merged")
            result[name][start:stop] = block
    return result


def _total(weights: Sequence[float], count: int) -> float:
    if len(weights) != count or not all(0 <= weight <= _HEAVIEST for weight in weights) or not any(weights):
        raise InvalidData(f"{count} vectors need as many weights, none negative, not all 0")
    return math.fsum(weights)

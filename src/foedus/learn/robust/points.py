"""The vectors that a rule works on: updates, clipped and mixed, without holding any of them in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foedus.core.errors import InvalidData
from foedus.learn.robust.clipping import clip_factors
from foedus.learn.robust.distances import Geometry, Matrix, measure, times
from foedus.learn.robust.mixing import mixed_geometry, mixing
from foedus.learn.robust.rule import RobustRule
from foedus.learn.vectors import Block, Vector, weighted_sum

_NOTHING = Geometry(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))


@dataclass(frozen=True, slots=True)
class Combination:
    """Σ_k c_k v_k. Vectors with coefficient 0 are not read."""

    vectors: Sequence[Vector]
    coefficients: Sequence[float]

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the sum: in the order given, each product rounded before it is added."""
        pairs = [(v, c) for v, c in zip(self.vectors, self.coefficients, strict=True) if c]
        return weighted_sum([v for v, _ in pairs], [c for _, c in pairs], name, start, stop)


@dataclass(frozen=True, slots=True)
class Points:
    """n points: row i of `rows` says of which `vectors` point i is made; None: they are the vectors.

    `geometry` is that of the points, as far as the rule needs it; `hostile` is the f to withstand.
    """

    vectors: Sequence[Vector]
    rows: Matrix | None
    geometry: Geometry
    hostile: int

    def combination(self, coefficients: Block) -> Combination:
        """Return Σ_i c_i · point i, reading every vector once."""
        if self.rows is not None:
            coefficients = times(coefficients.reshape(1, -1), self.rows)[0]
        return Combination(self.vectors, [float(c) for c in coefficients])

    def point(self, index: int) -> Vector:
        """Return one of the points."""
        if self.rows is None:
            return self.vectors[index]
        return Combination(self.vectors, [float(c) for c in self.rows[index]])

    def blocks(self, name: str, start: int, stop: int) -> list[Block]:
        """Return a part of every point, as new arrays."""
        read = [vector.block(name, start, stop) for vector in self.vectors]
        return read if self.rows is None else _means(read, self.rows)


def prepare(
    vectors: Sequence[Vector], shapes: Mapping[str, int], measured: Collection[str], rule: RobustRule
) -> Points:
    """Clip and mix, and measure what the rule needs. Raises as `combine`."""
    hostile = rule.withstands(len(vectors))
    if rule.measures and not any(shapes[name] for name in measured):
        raise InvalidData("a robust rule needs tensors to measure, and there are none")
    if rule.clip:
        factors = clip_factors(measure(vectors, shapes, measured).lengths, rule.clip)
        vectors = [_scaled(vector, float(factor)) for vector, factor in zip(vectors, factors, strict=True)]
    products = rule.rule in ("geometric-median", "centred-clipping")
    distances = rule.mix or rule.rule in ("krum", "multi-krum")
    if not products and not distances:
        return Points(vectors, None, _NOTHING, hostile)
    geometry = measure(vectors, shapes, measured, distances, products)
    known = np.isfinite(geometry.lengths)
    vectors = [_scaled(vector, float(is_known)) for vector, is_known in zip(vectors, known, strict=True)]
    if not rule.mix:
        return Points(vectors, None, geometry, hostile)
    rows = mixing(geometry.distances, hostile)
    return Points(vectors, rows, mixed_geometry(geometry, rows), hostile)


def _scaled(vector: Vector, factor: float) -> Vector:
    return vector if factor == 1.0 else Combination([vector], [factor])


def _means(blocks: Sequence[Block], rows: Matrix) -> list[Block]:
    """Return what `Combination` makes of each row, to the byte; all that is not 0 in them is one number."""
    share = float(rows.max())
    parts = [block * share for block in blocks]
    means = [np.full(blocks[0].size, -0.0) for _ in blocks]  # as in `weighted_sum`
    for mean, row in zip(means, rows, strict=True):
        for index in np.flatnonzero(row).tolist():
            mean += parts[index]
    return means


def unchanged(vectors: Sequence[Vector]) -> Points:
    """Return the vectors themselves as points that nobody measures."""
    return Points(vectors, None, _NOTHING, 0)

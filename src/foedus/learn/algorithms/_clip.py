"""Shorten what is far longer than what others sent, so that no single client can ruin what a server keeps.

v_k ← v_k · min(1, ratio · median_j ‖v_j‖ / ‖v_k‖)
"""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from foedus.learn.arguments import Parameter
from foedus.learn.vectors import BLOCK, Block, Vector
from foedus.learn.weights import Weights

FEWEST = 3
"""Of fewer clients, nobody can tell which is the odd one out."""

LONGEST = 1e290
"""What a length counts at most, so that sums of lengths stay finite."""

CLIP_RATIO = Parameter("clip_ratio", 3.0, "longest update, in median lengths; 0: any", low=0.0, high=1e9)


def limit_of(lengths: Sequence[float], ratio: float) -> float:
    """Return `ratio` times the median length."""
    return ratio * min(statistics.median(lengths), LONGEST)


def factors(lengths: Sequence[float], limit: float) -> list[float]:
    """Return by how much to shorten each vector; nothing to measure by (a limit of 0) shortens none."""
    return [limit / length if 0 < limit < length else 1.0 for length in lengths]


def lengths_of(vectors: Sequence[Vector], server: Weights, names: Collection[str]) -> list[float]:
    """Return ‖v_k‖₂ over these tensors, which have the server's shapes; infinity when beyond float64."""
    squares: list[list[float]] = [[] for _ in vectors]
    for name in names:
        for start in range(0, server[name].size, BLOCK):
            stop = min(start + BLOCK, server[name].size)
            for sums, vector in zip(squares, vectors, strict=True):
                sums.append(_square(vector.block(name, start, stop)))
    return [math.sqrt(math.fsum(sums)) for sums in squares]


def clipped(
    vectors: Sequence[Vector], server: Weights, names: Collection[str], ratio: float
) -> Sequence[Vector]:
    """Return the vectors, none longer than `ratio` medians; as they are for ratio 0 and `FEWEST` not reached.

    Reads all of them once.
    """
    if not ratio or len(vectors) < FEWEST:
        return vectors
    lengths = lengths_of(vectors, server, names)
    shortened = factors(lengths, limit_of(lengths, ratio))
    return [v if factor == 1 else Shortened(v, factor) for v, factor in zip(vectors, shortened, strict=True)]


@dataclass(frozen=True, slots=True)
class Shortened:
    """A vector times a factor from 0 to 1."""

    vector: Vector
    factor: float

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the vector; of an infinitely long one, zeros."""
        if not self.factor:
            return np.zeros(stop - start)
        block = self.vector.block(name, start, stop)
        block *= self.factor
        return block


def _square(block: Block) -> float:
    with np.errstate(over="ignore"):
        block *= block
        return float(np.sum(block))

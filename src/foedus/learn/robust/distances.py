"""Squared lengths, distances and inner products of updates, summed directly, and algebra on the results.

    D_ij = Σ_x (v_i[x] − v_j[x])²        G_ij = Σ_x v_i[x] · v_j[x]

Distances are sums of squared differences and not G_ii + G_jj − 2 G_ij: where updates lie close together in
comparison with their length, that expression consists of rounding errors alone. v are updates already, not
models, so G is as precise as float64 allows. Tensors count in the order of their names, `STEP` elements are
summed at once, and only the parts' sums meet: the same bytes on every machine.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.learn.vectors import Block, Vector

Matrix: TypeAlias = npt.NDArray[np.float64]

STEP = 1 << 13  # elements of every client at once: 64 KiB each, below what an allocator maps anew every time

LONGEST = 1e150  # longer vectors are not measured: with them, sums of squares would leave float64


@dataclass(frozen=True, slots=True)
class Geometry:
    """How n vectors lie: Euclidean lengths (n), squared distances (n, n), inner products (n, n).

    Vectors longer than `LONGEST` count as the zero vector, and `lengths` says inf. Matrices nobody asked for
    are empty.
    """

    lengths: Block
    distances: Matrix
    products: Matrix


def parts_of(shapes: Mapping[str, int], names: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Yield (name, start, stop) of pieces of at most `STEP` elements, by name."""
    for name in sorted(names):
        for start in range(0, shapes[name], STEP):
            yield name, start, min(start + STEP, shapes[name])


def measure(
    vectors: Sequence[Vector],
    shapes: Mapping[str, int],
    measured: Collection[str],
    distances: bool = False,
    products: bool = False,
) -> Geometry:
    """Read the vectors once and return their lengths, and what else is asked for.

    Memory: 2 n `STEP` float64, and the matrices.
    """
    count = len(vectors)
    squares = np.zeros(count)
    apart = np.zeros((count, count) if distances else (0, 0))
    inner = np.zeros((count, count) if products else (0, 0))
    rows, scratch = np.empty(count * STEP), np.empty(count * STEP)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # of vectors that are too long, which are zero in the end
        for name, start, stop in parts_of(shapes, measured):
            block = rows[: count * (stop - start)].reshape(count, stop - start)
            for row, vector in zip(block, vectors, strict=True):
                row[:] = vector.block(name, start, stop)
            squares += _products(block, block, scratch)
            for i in range(count if distances else 0):
                apart[i, i + 1 :] += _squared(block[i + 1 :], block[i], scratch)
            for i in range(count if products else 0):
                inner[i, i + 1 :] += _products(block[i + 1 :], block[i], scratch)
        lengths = np.sqrt(squares)
    lengths[~(lengths <= LONGEST)] = np.inf
    return _completed(lengths, apart, inner)


def times(left: Matrix, right: Matrix) -> Matrix:
    """Multiply matrices, (m, k) by (k, n), adding in the order of k; libraries have no fixed order."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for k in range(left.shape[1]):
        product += left[:, k : k + 1] * right[k]
    return product


def middle(values: Block) -> float:
    """Return the median, the mean of both where two are in the middle; inf counts as 0."""
    ordered = np.sort(np.where(np.isinf(values), 0.0, values))
    return float((ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2)


def _completed(lengths: Block, apart: Matrix, inner: Matrix) -> Geometry:
    """Mirror the upper halves, and put the zero vector in the place of vectors that are too long."""
    finite = np.isfinite(lengths)
    squares = np.where(finite, lengths, 0.0) ** 2
    if apart.size:
        apart = apart + apart.T
        apart = np.where(finite[:, None] & finite, apart, squares[:, None] + squares)
        np.fill_diagonal(apart, 0.0)
    if inner.size:
        inner = inner + inner.T
        inner = np.where(finite[:, None] & finite, inner, 0.0)
        np.fill_diagonal(inner, squares)
    return Geometry(lengths, apart, inner)


def _squared(block: Matrix, row: Block, scratch: Block) -> Block:
    moved = scratch[: block.size].reshape(block.shape)
    np.subtract(block, row, out=moved)
    np.multiply(moved, moved, out=moved)
    return np.asarray(np.add.reduce(moved, axis=1))


def _products(block: Matrix, other: Matrix | Block, scratch: Block) -> Block:
    result = scratch[: block.size].reshape(block.shape)
    np.multiply(block, other, out=result)
    return np.asarray(np.add.reduce(result, axis=1))

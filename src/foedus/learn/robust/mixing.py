"""Nearest-neighbour mixing (NNM): every update becomes the mean of those around it.

Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan: Fixing by Mixing: A Recipe for Optimal Byzantine ML
under Heterogeneity. AISTATS 2023, https://arxiv.org/abs/2302.01772 (algorithm 2).

    y_i = 1/(n − f) · Σ_{j ∈ N_i} v_j,   N_i: the n − f vectors nearest to v_i, itself among them

Of equally near vectors the client that comes first by id is taken.
"""

import numpy as np

from foedus.learn.robust.distances import Geometry, Matrix, times


def mixing(distances: Matrix, hostile: int) -> Matrix:
    """Return the coefficients, (n, n): row i makes y_i of the vectors. `distances` are squared, (n, n)."""
    count = len(distances)
    apart = distances.copy()
    np.fill_diagonal(apart, -1.0)  # before a vector that is equal to it
    nearest = np.argsort(apart, axis=1, kind="stable")[:, : count - hostile]
    rows = np.zeros((count, count))
    np.put_along_axis(rows, nearest, 1.0 / (count - hostile), axis=1)
    return rows


def mixed_geometry(geometry: Geometry, rows: Matrix) -> Geometry:
    """Return how the mixed vectors lie.

    Distances follow from distances, ‖y_a − y_b‖² = H_ab − (H_aa + H_bb)/2 with H = R D Rᵀ, because every row
    of R sums to 1; products are R G Rᵀ. A far vector occurs only in the rows of those that have it among
    their nearest, so it takes no digits from the others. Lengths are there when products are.
    """
    apart, inner = geometry.distances, geometry.products
    if apart.size:
        spread = times(times(rows, apart), np.ascontiguousarray(rows.T))
        own = spread.diagonal()
        apart = np.maximum(spread - (own[:, None] * 0.5 + own * 0.5), 0.0)
        apart = (apart + apart.T) * 0.5
        np.fill_diagonal(apart, 0.0)
    lengths = np.zeros(len(rows))
    if inner.size:
        inner = times(times(rows, inner), np.ascontiguousarray(rows.T))
        inner = (inner + inner.T) * 0.5
        lengths = np.sqrt(np.maximum(inner.diagonal(), 0.0))
    return Geometry(lengths, apart, inner)

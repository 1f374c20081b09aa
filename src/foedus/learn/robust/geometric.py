"""Geometric median by the smoothed Weiszfeld algorithm (RFA).

Pillutla, Kakade, Harchaoui: Robust Aggregation for Federated Learning. IEEE Transactions on Signal Processing
70, 2022, https://arxiv.org/abs/1912.13445 (algorithm 2).

    β_k = 1 / max(ν, ‖z − v_k‖),   z ← Σ_k β_k v_k / Σ_k β_k,   from z = 0, the server's position

All clients count the same (α_k = 1/n). ν is relative here: `smoothing` times the median length of the
vectors, so that the result scales with them. z is always a combination of the vectors, so its distances
follow from their inner products; the coefficient of a far vector falls with its distance, hence no digits are
lost to it. Distances below about 1e-8 median lengths are rounding errors, which the smoothing hides.
"""

import numpy as np

from foedus.learn.robust.distances import Geometry, Matrix, middle
from foedus.learn.vectors import Block


def geometric_median(geometry: Geometry, iterations: int, smoothing: float) -> Block:
    """Return the coefficients of the vectors, (n), at least 0 with sum 1.

    When half of the vectors or more are zero, zero is the median: all coefficients are 0.
    """
    products = geometry.products
    coefficients = np.zeros(len(products))
    shortest = smoothing * middle(geometry.lengths)
    if shortest == 0.0:
        return coefficients
    for _ in range(iterations):
        nearness = 1.0 / np.maximum(distances_from(coefficients, products), shortest)
        coefficients = nearness / np.add.reduce(nearness)
    return coefficients


def distances_from(coefficients: Block, products: Matrix) -> Block:
    """Return ‖Σ_j c_j v_j − v_k‖ for every k, from the vectors' inner products."""
    projected = np.add.reduce(products * coefficients, axis=1)
    own = np.add.reduce(coefficients * projected)
    return np.asarray(np.sqrt(np.maximum(products.diagonal() - 2.0 * projected + own, 0.0)))

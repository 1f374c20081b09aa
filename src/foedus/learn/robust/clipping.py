"""Clipping of norms, and centred clipping.

Norm clipping: Sun, Kairouz, Suresh, McMahan: Can You Really Backdoor Federated Learning? 2019,
https://arxiv.org/abs/1911.07963 (section 4), with a limit relative to the median instead of a fixed one:

    v_k ← v_k · min(1, c · median_j ‖v_j‖ / ‖v_k‖)

Centred clipping: Karimireddy, He, Jaggi: Learning from History for Byzantine Robust Optimization. ICML 2021,
https://arxiv.org/abs/2012.10333 (equation CC), from z = 0, the server's position:

    z ← z + 1/n · Σ_k (v_k − z) · min(1, τ / ‖v_k − z‖)
"""

import numpy as np

from foedus.learn.robust.distances import Geometry, middle
from foedus.learn.robust.geometric import distances_from
from foedus.learn.vectors import Block


def clip_factors(lengths: Block, clip: float) -> Block:
    """Return by what to multiply each vector, (n), from 0 to 1.

    A vector too long to be measured (inf) becomes 0, as does all that moved when most clients did not move.
    """
    return _shortening(lengths, clip * middle(lengths))


def centred_clipping(geometry: Geometry, iterations: int, radius: float) -> Block:
    """Return the coefficients of the vectors, (n), at least 0 with sum at most 1; the rest is at zero.

    `radius` is τ; 0 stands for the median length of the vectors.
    """
    count = len(geometry.products)
    limit = radius or middle(geometry.lengths)
    coefficients = np.zeros(count)
    for _ in range(iterations):
        factors = _shortening(distances_from(coefficients, geometry.products), limit)
        coefficients = coefficients * (1.0 - np.add.reduce(factors) / count) + factors / count
    return coefficients


def _shortening(lengths: Block, limit: float) -> Block:
    factors = np.ones_like(lengths)
    np.divide(limit, lengths, out=factors, where=lengths > limit)
    return factors

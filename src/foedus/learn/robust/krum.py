"""Krum and Multi-Krum: the updates that have the closest company.

Blanchard, El Mhamdi, Guerraoui, Stainer: Machine Learning with Adversaries: Byzantine Tolerant Gradient
Descent. NeurIPS 2017 (section 4).

    s(i) = Σ_{j → i} ‖v_i − v_j‖²,  over the n − f − 2 closest others j;  2f + 2 < n

Krum is the update with the smallest score, Multi-Krum the mean of the m = n − f with the smallest scores. Of
equal scores the client that comes first by id is taken.
"""

from collections.abc import Sequence

import numpy as np

from foedus.learn.robust.distances import Matrix


def krum_order(distances: Matrix, hostile: int) -> list[int]:
    """Return all clients by rising score. `distances` are squared, (n, n), with n > 2 `hostile` + 2."""
    count = len(distances)
    others = distances[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    nearest = np.ascontiguousarray(np.sort(others, axis=1)[:, : count - hostile - 2])
    scores = np.add.reduce(nearest, axis=1)
    return [int(client) for client in np.argsort(scores, kind="stable")]


def chosen_by_krum(distances: Matrix, hostile: int, only_one: bool) -> Sequence[int]:
    """Return the client that Krum chooses, or the n − f of Multi-Krum, in the order of the clients."""
    return sorted(krum_order(distances, hostile)[: 1 if only_one else len(distances) - hostile])

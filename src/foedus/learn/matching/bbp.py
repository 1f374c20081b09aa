"""Which rows of several clients are the same global row. Yurochkin, Agarwal, Ghosh, Greenewald, Hoang,
Khazaeni: Bayesian nonparametric federated learning of neural networks. ICML 2019.
https://arxiv.org/abs/1905.12022

A global row ("atom") i that m_i clients have is Gaussian with  S_i = μ0/σ0 + Σ w/σ  and  V_i = 1/σ0 + m_i/σ.
Giving row w of one client to an atom scores (σ and σ0 are variances, J clients, Σ over coordinates):

    existing i:  Σ (w/σ + S_i)² / (1/σ + V_i) - Σ S_i²/V_i + f log(m_i / (J - m_i))    m_i ≤ 10 in the log
    new, k-th:   Σ (w/σ + μ0/σ0)² / (1/σ0 + 1/σ) - Σ (μ0/σ0)² σ0 - 2 log k + 2 log(γ/J)

The Hungarian algorithm finds the assignment of all rows of a client with the largest sum. The widest
client's rows are the first atoms; the others follow by falling width; then every client is taken out and
matched again, several times. Same inputs and seed: same result to the byte, on every machine.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.core.errors import UnsupportedModel
from foedus.learn.matching.exact import Rows, bounded, log_ratio, products, squared_norms

Assignment: TypeAlias = npt.NDArray[np.int64]
"""The global row of each row of one client; no two are equal."""

Growth: TypeAlias = Literal["fixed", "bbp"]

_LARGEST_POPULARITY = 10  # in the logarithm, as in the released code


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of rows before seeing any, and how long to look."""

    sigma: float = 1.0  # variance of a client's row around the global one
    sigma0: float = 1.0  # variance of global rows around `mu0`
    mu0: float | Sequence[float] = 0.0  # mean of global rows
    gamma: float = 7.0  # how readily new global rows appear
    popularity_factor: float = 1.0  # f: 1 in the released code, 2 in the paper's formula
    max_width: int = 700  # new rows stop there
    sweeps: int = 5  # how often every client is matched again
    growth: Growth = "bbp"  # `fixed`: no new rows at all


@dataclass(frozen=True, slots=True)
class Atoms:
    """Global rows as the clients matched so far see them."""

    sums: Rows  # S, (G, D)
    precisions: Rows  # V, (G,): the same for all coordinates
    popularity: Assignment  # m, (G,)


@dataclass(frozen=True, slots=True)
class Matching:
    """Who has which global row: one assignment per client, in the order given."""

    assignments: tuple[Assignment, ...]
    width: int


def existing_scores(rows: Rows, atoms: Atoms, clients: int, prior: Prior) -> Rows:
    """Return what giving each row (L, D) to each existing atom scores: (L, G). Larger is better."""
    scaled = rows / prior.sigma
    norms = squared_norms(atoms.sums)
    squares = squared_norms(scaled)[:, None] + 2.0 * products(scaled, atoms.sums) + norms[None, :]
    counts = [min(int(m), _LARGEST_POPULARITY) for m in atoms.popularity]
    logs = np.array([log_ratio(m, clients - m) for m in counts])
    fixed = prior.popularity_factor * logs - norms / atoms.precisions
    scores: Rows = squares / (1.0 / prior.sigma + atoms.precisions)[None, :] + fixed[None, :]
    return scores


def new_scores(rows: Rows, count: int, clients: int, prior: Prior) -> Rows:
    """Return what making each row (L, D) the first, second … of `count` new atoms scores: (L, count)."""
    pull = np.broadcast_to(np.asarray(prior.mu0, np.float64) / prior.sigma0, rows.shape[1:])
    squares = squared_norms(rows / prior.sigma + pull) / (1.0 / prior.sigma0 + 1.0 / prior.sigma)
    base = 2.0 * log_ratio(prior.gamma, clients) - float(squared_norms(pull[None, :])[0]) * prior.sigma0
    ranks = np.array([2.0 * log_ratio(k, 1) for k in range(1, count + 1)])
    scores: Rows = (squares + base)[:, None] - ranks[None, :]
    return scores


def match(clients: Sequence[Rows], prior: Prior, seed: str) -> Matching:
    """Match the rows (L_j, D) of at least one client. Clients come in a fixed order, which decides ties.

    Raises `UnsupportedModel` when widths differ although they are fixed.
    """
    if prior.growth == "fixed" and len({len(rows) for rows in clients}) > 1:
        raise UnsupportedModel(
            "clients have layers of different widths", 'Use growth = "bbp", or equal models for all clients.'
        )
    clients = [bounded(rows) for rows in clients]
    first, *others = sorted(range(len(clients)), key=lambda client: -len(clients[client]))
    found = {first: np.arange(len(clients[first]))}
    for client in others:
        found[client] = _assign(client, found, clients, prior)
    for sweep in range(prior.sweeps if others else 0):
        before = dict(found)
        for client in _shuffled(len(clients), f"{seed}/{sweep}"):
            del found[client]
            found = _renumbered(found)
            found[client] = _assign(client, found, clients, prior)
        if all(np.array_equal(before[client], found[client]) for client in found):
            break  # in whatever order the next sweep took them, it would find the same
    return Matching(tuple(found[client] for client in range(len(clients))), _width(found))


def match_one_more(rows: Rows, clients: Sequence[Rows], matching: Matching, prior: Prior) -> Assignment:
    """Return the global rows that the rows of somebody who took no part in the matching correspond to."""
    found = dict(enumerate(matching.assignments))
    return _assign(len(clients), found, [bounded(each) for each in (*clients, rows)], prior)


def _assign(
    client: int, found: Mapping[int, Assignment], clients: Sequence[Rows], prior: Prior
) -> Assignment:
    """Match one client's rows with what the clients in `found` have; new atoms are numbered in row order."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to load, rarely needed

    rows, width = clients[client], _width(found)
    added = 0 if prior.growth == "fixed" else _room(len(rows), width, prior.max_width)
    scores = np.hstack(
        [
            existing_scores(rows, _atoms(found, clients, width, prior), len(clients), prior),
            new_scores(rows, added, len(clients), prior),
        ]
    )
    chosen: Assignment = linear_sum_assignment(scores, maximize=True)[1].astype(np.int64)
    is_new = chosen >= width
    chosen[is_new] = width + np.arange(np.count_nonzero(is_new))
    return chosen


def _room(rows: int, width: int, max_width: int) -> int:
    """Return how many new atoms there may be: up to the largest width, but every row must find a place."""
    return max(min(rows, max_width - width), rows - width, 0)


def _atoms(found: Mapping[int, Assignment], clients: Sequence[Rows], width: int, prior: Prior) -> Atoms:
    """Add up who has which atom, always in the clients' order, so that nothing drifts from sweep to sweep."""
    dimensions = next(iter(clients)).shape[1]
    pull = np.broadcast_to(np.asarray(prior.mu0, np.float64) / prior.sigma0, (dimensions,))
    sums, popularity = np.tile(pull, (width, 1)), np.zeros(width, np.int64)
    for client in sorted(found):
        sums[found[client]] += clients[client] / prior.sigma
        popularity[found[client]] += 1
    return Atoms(sums, 1.0 / prior.sigma0 + popularity / prior.sigma, popularity)


def _renumbered(found: Mapping[int, Assignment]) -> dict[int, Assignment]:
    """Drop the atoms that nobody has any more."""
    is_used = np.zeros(_width(found), np.bool_)
    for assignment in found.values():
        is_used[assignment] = True
    number = np.cumsum(is_used) - 1
    return {client: number[assignment] for client, assignment in found.items()}


def _width(found: Mapping[int, Assignment]) -> int:
    return 1 + max(int(assignment.max()) for assignment in found.values())


def _shuffled(count: int, seed: str) -> list[int]:
    """Return 0 … count - 1 in an order that depends on the seed alone, not on a library's version."""
    return sorted(range(count), key=lambda number: hashlib.sha256(f"{seed}/{number}".encode()).digest())

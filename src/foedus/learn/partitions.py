"""Named partitions: how examples fall to clients, and how a client divides its own.

Pure functions of labels, client names and a seed. Clients share no example.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for

Labels: TypeAlias = npt.NDArray[np.int64]
Indices: TypeAlias = npt.NDArray[np.int64]
_Random: TypeAlias = np.random.Generator

FEWEST = 3  # examples a client needs: one each to train, to validate and to test

# Table 4 of Kwon, Lee and Park (2025). As printed, nobody in (3) has digit 5; its third client has 4 twice.
_TABLE_4 = {
    "noniid-1": ((0, 6, 9, 8), (1, 4, 7), (2, 3, 5)),
    "noniid-2": ((0, 6, 9, 1, 2), (4, 7, 8, 3, 0), (5, 2, 3, 9, 4)),
    "noniid-3": ((0, 6, 8, 9, 3), (1, 4, 7, 9, 0), (2, 3, 5, 9, 4)),
    "noniid-3-printed": ((0, 6, 8, 9, 3), (1, 4, 7, 9, 0), (2, 3, 4, 9)),
}

_ATTEMPTS = 100  # draws of a Dirichlet partition before it is called impossible


@dataclass(frozen=True, slots=True)
class Split:
    """One client's examples: sorted, disjoint, none empty."""

    train: Indices
    val: Indices
    test: Indices


def partition_names() -> tuple[str, ...]:
    """Return the names of all partitions, sorted.

    `iid`; the paper's for three clients `noniid-1`, `noniid-2`, `noniid-3`, `noniid-3-printed`; `labels`
    (with `sets`: the labels of each client); `dirichlet` (with `alpha`); `shards` (with `per_client`).
    """
    return tuple(sorted(_KINDS))


def partition(
    name: str,
    labels: Labels,
    clients: Sequence[str],
    seed: int,
    args: Mapping[str, Argument] | None = None,
) -> dict[str, Indices]:
    """Give each client its examples, as sorted indices into `labels`.

    `partition_names` lists the rules. Labels of several clients are divided evenly among them; those of
    nobody are left out.
    Raises `InvalidSpec` for unusable arguments, `InvalidData` naming a client with fewer than 3 examples.
    """
    if name not in _KINDS:
        raise InvalidSpec(f"there is no partition {name!r}", hint_for(name, _KINDS))
    if not clients:
        raise InvalidSpec("there is no client to give examples to")
    kind = _KINDS[name]
    checked = check_arguments(f"partition {name!r}", kind.parameters, args or {})
    random = np.random.default_rng(seed)
    random.permutation(len(labels))  # drawn for nothing, so that partitions stay what they have been
    pieces = kind.divide(labels, len(clients), random, **checked)
    given = {client: np.sort(piece) for client, piece in zip(clients, pieces, strict=True)}
    _require_enough(given)
    return given


def split(indices: Indices, labels: Labels, seed: int) -> Split:
    """Divide a client's examples into 80 % training, 10 % validation and 10 % test, stratified by label.

    Raises `InvalidData` for fewer than 3 examples.
    """
    if len(indices) < FEWEST:
        raise InvalidData(f"{len(indices)} examples cannot be split: need at least {FEWEST}")
    tenth = max(1, round(len(indices) / 10))
    held_out = indices[_spread(labels[indices], 2 * tenth, np.random.default_rng(seed))]
    val, test = np.sort(held_out[0::2]), np.sort(held_out[1::2])
    return Split(np.setdiff1d(indices, held_out), val, test)


def stratified_sample(labels: Labels, count: int, random: np.random.Generator) -> Indices:
    """Return `count` sorted indices whose labels are as frequent as in the whole."""
    return np.sort(_spread(labels, count, random))


def _spread(labels: Labels, count: int, random: _Random) -> Indices:
    """Pick `count` equally spaced positions from the list of all, ordered by label, then at random."""
    size = len(labels)
    by_label = np.lexsort((random.permutation(size), labels))
    if count == 0:
        return by_label[:0]
    offset = int(random.integers(size))
    return by_label[(np.arange(count) * size + offset) // count]


def _require_enough(given: Mapping[str, Indices]) -> None:
    for client, indices in given.items():
        if len(indices) < FEWEST:
            raise InvalidData(
                f"client {client} gets {len(indices)} examples, but needs at least {FEWEST}",
                "Use more examples, fewer clients or a milder partition.",
            )


# --- the rules: (labels, number of clients, random, arguments) -> positions of each client ---


def _iid(labels: Labels, clients: int, random: _Random) -> list[Indices]:
    return np.array_split(random.permutation(len(labels)), clients)


def _by_labels(labels: Labels, clients: int, random: _Random, sets: Sequence[Sequence[int]]) -> list[Indices]:
    if len(sets) != clients:
        raise InvalidSpec(f"the partition names labels of {len(sets)} clients, but there are {clients}")
    pieces: list[list[Indices]] = [[] for _ in sets]
    for label in sorted({label for labels_of_one in sets for label in labels_of_one}):
        holders = [client for client, labels_of_one in enumerate(sets) if label in labels_of_one]
        positions = random.permutation(np.flatnonzero(labels == label))
        for client, piece in zip(holders, np.array_split(positions, len(holders)), strict=True):
            pieces[client].append(piece)
    return [np.concatenate([_NOTHING, *parts]) for parts in pieces]


def _named_labels(
    labels: Labels, clients: int, random: _Random, sets: Sequence[Sequence[int]]
) -> list[Indices]:
    """Divide by explicit label sets, after checking what a person wrote."""
    for one in sets:
        is_list = isinstance(one, (list, tuple)) and len(one) > 0
        if not is_list or not all(isinstance(label, int) and label >= 0 for label in one):
            raise InvalidSpec(f"labels of a client must be a list such as [0, 3], got {one!r}")
    return _by_labels(labels, clients, random, sets)


def _dirichlet(labels: Labels, clients: int, random: _Random, alpha: float) -> list[Indices]:
    """Divide each label by shares drawn from Dir(α), again until every client has enough (NIID-Bench)."""
    for _ in range(_ATTEMPTS):
        pieces: list[list[Indices]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            positions = random.permutation(np.flatnonzero(labels == label))
            shares = random.dirichlet(np.full(clients, alpha))
            cuts = np.round(np.cumsum(shares)[:-1] * len(positions)).astype(np.int64)
            for client, piece in enumerate(np.split(positions, cuts)):
                pieces[client].append(piece)
        drawn = [np.concatenate([_NOTHING, *parts]) for parts in pieces]
        if min(len(piece) for piece in drawn) >= FEWEST:
            break
    return drawn


def _shards(labels: Labels, clients: int, random: _Random, per_client: int) -> list[Indices]:
    """Sort by label, cut into equal shards, deal each client `per_client` of them (McMahan et al. 2017)."""
    by_label = np.lexsort((random.permutation(len(labels)), labels))
    shards = np.array_split(by_label, clients * per_client)
    dealt = random.permutation(len(shards)).reshape(clients, per_client)
    return [np.concatenate([shards[shard] for shard in hand]) for hand in dealt]


_NOTHING: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Kind:
    divide: Callable[..., list[Indices]]
    parameters: tuple[Parameter, ...] = ()


def _table_4(name: str) -> _Kind:
    def divide(labels: Labels, clients: int, random: _Random) -> list[Indices]:
        if clients != len(_TABLE_4[name]):
            raise InvalidSpec(
                f"partition {name!r} is for {len(_TABLE_4[name])} clients, not {clients}",
                "For other numbers use iid, labels, dirichlet or shards.",
            )
        return _by_labels(labels, clients, random, _TABLE_4[name])

    return _Kind(divide)


_KINDS: dict[str, _Kind] = {
    "iid": _Kind(_iid),
    "labels": _Kind(
        _named_labels, (Parameter("sets", cast("list[list[int]]", []), "labels of each client"),)
    ),
    "dirichlet": _Kind(
        _dirichlet, (Parameter("alpha", 0.5, "concentration; small is skewed", low=1e-3, high=1e6),)
    ),
    "shards": _Kind(_shards, (Parameter("per_client", 2, "shards of each client", low=1, high=10_000),)),
    **{name: _table_4(name) for name in _TABLE_4},
}

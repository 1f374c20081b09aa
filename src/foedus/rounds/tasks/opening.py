"""Registered updates, opened and checked one by one: what each client hands over, or why it is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

from foedus.core.errors import ObjectDamaged, ObjectMissing, UpdateRefused
from foedus.core.ids import Cid, ClientId
from foedus.learn.strategy import ServerState
from foedus.learn.updates import check_update
from foedus.learn.weights import (
    EXAMPLES,
    SHARED,
    MemorySource,
    Row,
    Specs,
    TensorSource,
    Without,
    stacked_specs,
)
from foedus.rounds.documents import UpdateEntry
from foedus.rounds.tasks.project import Project
from foedus.store import ModelManifest, Schema, TensorFile, TensorSpec

KEEP_BYTES = 256 << 20  # updates up to this size together stay in memory between checking and merging


@dataclass(frozen=True, slots=True)
class Exchange:
    """The exchange whose updates are merged: where it starts from, and its place in the round."""

    base: ModelManifest
    state: ServerState
    number: int  # of the round
    step: int
    entries: int  # how many updates were registered


@dataclass(frozen=True, slots=True)
class Opened:
    """One client's update, ready to be merged unless it has a `fault` (a code as of `UpdateRefused`)."""

    entry: UpdateEntry
    client: ClientId
    cid: str  # of the update; of one of several in an object: with its row
    num_examples: int
    source: TensorSource
    fault: str = ""
    num_shared: int = 0  # of its examples the project shares them with everybody


def open_updates(project: Project, exchange: Exchange, entry: UpdateEntry) -> Iterator[Opened]:
    """Yield the update of a registration, or those of all clients that a host trained."""
    client, cid, fault = ClientId(entry.client), entry.cid, ""
    try:
        if project.terms.hosting is None:
            source, num_shared = _open_checked(project, exchange, entry)
            yield Opened(entry, client, cid, entry.num_examples, source, num_shared=num_shared)
        else:
            yield from _open_rows(project, exchange, entry)
        return
    except UpdateRefused as error:
        fault = error.code
    except ObjectMissing:
        fault = "missing"
    except ObjectDamaged:
        fault = "damaged"
    yield Opened(entry, client, cid, entry.num_examples, MemorySource({}), fault)


def _open_checked(project: Project, exchange: Exchange, entry: UpdateEntry) -> tuple[TensorSource, int]:
    """Open one client's update, after every check that concerns it alone. Raises `UpdateRefused`.

    Returns it, and how many of its examples the project shares.
    """
    state, cid = exchange.state, Cid(entry.cid)
    expected = project.update_specs(state, ClientId(entry.client), exchange.step)
    source, num_shared = _open(project, expected, cid, exchange.entries), 0
    check_update(source, expected, state.weights, project.parts)
    if SHARED in expected:
        num_shared = int(source.read(SHARED)[0])
        source = Without(source, SHARED)
    if num_shared > min(entry.num_examples, project.shared_examples()):
        raise UpdateRefused("samples", f"{num_shared} of {entry.num_examples} examples cannot be shared ones")
    if project.terms.floor_ratio > 0 and exchange.step == project.steps:
        _require_floor(project, exchange, cid, source)
    return source, num_shared


def _open_rows(project: Project, exchange: Exchange, entry: UpdateEntry) -> Iterator[Opened]:
    """Take a host's update apart. A client that breaks the rules is refused alone, a broken object whole.

    The floor is not asked for: a host's simulated clients are its own.
    """
    clients = project.drawn_of(ClientId(entry.client), exchange.number)
    if not clients:
        raise UpdateRefused("keys", "none of the host's clients was drawn")
    rules = project.rules(exchange.step)
    expected = project.strategy.update_specs(exchange.state, clients[0], rules)
    stacked = _open(project, stacked_specs(expected, len(clients)), Cid(entry.cid), exchange.entries)
    counts = stacked.read(EXAMPLES)
    if counts.min() < 0 or sum(counts.tolist()) != entry.num_examples:
        raise UpdateRefused("samples", f"examples do not add up to the registered {entry.num_examples}")
    for index, client in enumerate(clients):
        row, fault = Row(stacked, index), ""
        try:
            check_update(row, expected, exchange.state.weights, project.parts)
        except UpdateRefused as error:
            fault = error.code
        yield Opened(entry, client, f"{entry.cid}#{index}", int(counts[index]), row, fault)


def _open(project: Project, expected: Specs, cid: Cid, entries: int) -> TensorSource:
    schema = Schema({name: TensorSpec(*spec) for name, spec in expected.items()})
    file = project.store.open(cid)
    tensors = TensorFile(file, schema)
    if schema.data_bytes * entries > KEEP_BYTES:
        return tensors
    with file:
        return MemorySource(tensors.read_all())


def _require_floor(project: Project, exchange: Exchange, cid: Cid, source: TensorSource) -> None:
    """The part of the gate that everybody can recompute (Algorithm 2, on the shared evaluation set)."""
    local = project.strategy.scorable(exchange.state, source, project.parts)
    if local is None:
        return
    shared_cid = project.terms.shared
    shared = project.published(Cid(shared_cid))
    base = project.score(exchange.base.weights, exchange.state.weights, shared_cid, shared)
    floor = project.terms.floor_ratio * base.f1
    found = project.score(cid, local, shared_cid, shared).f1
    if found < floor:
        raise UpdateRefused(
            "floor", f"scores {found:.4f} on the shared evaluation set, below the floor of {floor:.4f}"
        )

"""From registered updates to a candidate (Algorithm 4): the same manifest and bytes for everybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foedus.core.canonical import canonical_json
from foedus.core.errors import InvalidData, ObjectDamaged, ObjectMissing, UpdateRefused
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import Buffer
from foedus.learn.aggregation import client_bonuses, client_weights
from foedus.learn.strategy import ServerState, Update
from foedus.learn.updates import Claim, check_update, filter_updates
from foedus.learn.weights import MemorySource, TensorSource
from foedus.rounds.documents import StateDocument, UpdateEntry, fetch
from foedus.rounds.tasks.project import Project
from foedus.store import (
    AlgorithmRef,
    ModelManifest,
    Schema,
    TensorFile,
    TensorSpec,
    UsedUpdate,
    cid_of,
    encode,
)

KEEP_BYTES = 256 << 20  # updates up to this size together stay in memory between checking and merging


@dataclass(frozen=True, slots=True)
class PartBytes:
    """A part of an algorithm's state, ready to be stored."""

    cid: Cid
    size: int  # bytes
    buffers: Sequence[Buffer]


@dataclass(frozen=True, slots=True)
class Merged:
    """A candidate: its manifest, the whole state behind it, and of that what is not stored yet."""

    manifest: ModelManifest
    state: ServerState
    document: StateDocument | None  # that the manifest names as `state`
    changed: Sequence[PartBytes]


def merge(project: Project, base_cid: Cid, version: int, step: int, entries: Sequence[UpdateEntry]) -> Merged:
    """Compute the candidate from the registered updates.

    An update that breaks the schema, is not finite, touches frozen tensors or falls below the floor on the
    shared set is refused, alone. Without any usable update, or when those there are cannot be merged together
    (too few for the project's robust rule), the candidate holds the base's state, and nobody votes for it.
    """
    base, state = project.manifest(base_cid), project.state(base_cid)
    sources: dict[ClientId, TensorSource] = {}
    claims: list[Claim] = []
    for entry in entries:
        client, cid, fault = ClientId(entry.client), Cid(entry.cid), ""
        try:
            sources[client] = _open_checked(project, base, state, client, cid, step, len(entries))
        except UpdateRefused as error:
            fault = error.code
        except ObjectMissing:
            fault = "missing"
        except ObjectDamaged:
            fault = "damaged"
        claims.append(Claim(client, base_cid, cid, entry.num_examples, fault=fault))
    accepted, refusals = filter_updates(claims, base_cid)
    refused = {refusal.client: refusal.code for refusal in refusals}
    usable = {claim.client for claim in accepted}
    used = sorted((entry for entry in entries if entry.client in usable), key=lambda entry: entry.client)
    try:
        merged = _aggregate(project, state, sources, step, used)
    except InvalidData:  # these updates together are not what the algorithm can merge
        refused |= {ClientId(entry.client): "unmergeable" for entry in used}
        merged, used = state, []
    document, changed = _stored(project, base.state, state, merged)
    manifest = ModelManifest(
        version=version,
        step=step,
        model=Cid(project.terms.model),
        weights=cid_of(encode(merged.weights)),
        base=base_cid,
        algorithm=AlgorithmRef(project.terms.algorithm.name, project.terms.algorithm.params),
        updates=tuple(UsedUpdate(ClientId(e.client), Cid(e.cid), e.num_examples, e.reward) for e in used),
        refused=refused,
        state=cid_of([canonical_json(document.to_json())]) if document else None,
    )
    return Merged(manifest, merged, document, changed)


def _aggregate(
    project: Project,
    state: ServerState,
    sources: Mapping[ClientId, TensorSource],
    step: int,
    used: Sequence[UpdateEntry],
) -> ServerState:
    terms, rewards = project.terms, [entry.reward for entry in used]
    weights = client_weights([e.num_examples for e in used], rewards, terms.kappa, terms.cap_ratio)
    bonuses = client_bonuses(rewards, terms.kappa)
    updates = [
        Update(ClientId(entry.client), sources[ClientId(entry.client)], weight, bonus)
        for entry, weight, bonus in zip(used, weights, bonuses, strict=True)
    ]
    return project.strategy.aggregate(state, updates, project.rules(step))


def _stored(
    project: Project, base: Cid | None, before: ServerState, after: ServerState
) -> tuple[StateDocument | None, list[PartBytes]]:
    """Return the document of the new state, and those of its parts that the base's state does not have."""
    if not after.parts and not after.counters:
        return None, []
    known = fetch(project.store, base, StateDocument).parts if base else {}
    cids: dict[str, str] = {}
    changed: list[PartBytes] = []
    for name in sorted(after.parts):
        if name in known and after.parts[name] is before.parts.get(name):
            cids[name] = known[name]
            continue
        buffers = encode(after.parts[name])
        part = PartBytes(cid_of(buffers), sum(memoryview(b).nbytes for b in buffers), buffers)
        cids[name] = part.cid
        changed.append(part)
    return StateDocument(counters=dict(after.counters), parts=cids), changed


def _open_checked(
    project: Project,
    base: ModelManifest,
    state: ServerState,
    client: ClientId,
    cid: Cid,
    step: int,
    count: int,
) -> TensorSource:
    """Open one update for merging, after every check that concerns it alone. Raises `UpdateRefused`."""
    expected = project.strategy.update_specs(state, client, project.rules(step))
    schema = Schema({name: TensorSpec(*spec) for name, spec in expected.items()})
    file = project.store.open(cid)
    tensors = TensorFile(file, schema)
    source: TensorSource = tensors
    if schema.data_bytes * count <= KEEP_BYTES:
        source = MemorySource(tensors.read_all())
        file.close()
    check_update(source, expected, state.weights, project.parts)
    if project.terms.floor_ratio > 0 and step == project.steps:
        _require_floor(project, base, state, cid, source)
    return source


def _require_floor(
    project: Project, base: ModelManifest, state: ServerState, cid: Cid, source: TensorSource
) -> None:
    """The part of the gate that everybody can recompute (Algorithm 2, on the shared evaluation set)."""
    local = project.strategy.scorable(state, source, project.parts)
    if local is None:
        return
    shared_cid = project.terms.shared
    shared = project.published(Cid(shared_cid))
    floor = project.terms.floor_ratio * project.score(base.weights, state.weights, shared_cid, shared).f1
    found = project.score(cid, local, shared_cid, shared).f1
    if found < floor:
        raise UpdateRefused("floor", f"scores {found:.4f} on the shared set, below the floor of {floor:.4f}")

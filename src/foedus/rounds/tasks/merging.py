"""From registered updates to a candidate (Algorithm 4): the same manifest and bytes for everybody."""

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.canonical import canonical_json
from foedus.core.errors import InvalidData
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import Buffer
from foedus.learn.aggregation import client_bonuses, client_weights
from foedus.learn.strategy import ServerState, Update, require_finite
from foedus.learn.updates import Claim, filter_updates
from foedus.rounds.documents import StateDocument, UpdateEntry, fetch
from foedus.rounds.tasks.opening import Exchange, Opened, open_updates
from foedus.rounds.tasks.project import Project
from foedus.store import AlgorithmRef, ModelManifest, UsedUpdate, cid_of, encode


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run a merge belongs."""

    number: int  # of the round
    step: int
    version: int  # that the candidate would become


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


def merge(project: Project, base_cid: Cid, place: Place, entries: Sequence[UpdateEntry]) -> Merged:
    """Compute the candidate from the registered updates.

    An update that breaks the schema, is not finite, touches frozen tensors or falls below the floor on the
    shared evaluation set is refused, alone. Without any usable update, or when those there are cannot be
    merged together (too few for the project's robust rule), the candidate holds the base's state, and nobody
    votes for it.
    """
    base, state = project.manifest(base_cid), project.state(base_cid)
    exchange = Exchange(base, state, place.number, place.step, len(entries))
    opened = [update for entry in entries for update in open_updates(project, exchange, entry)]
    usable, refused = _filtered(opened, base_cid)
    try:
        merged = _aggregate(project, state, place.step, usable)
    except InvalidData:  # these updates together are not what the algorithm can merge
        refused |= {update.client: "unmergeable" for update in usable}
        merged, usable = state, []
    document, changed = _stored(project, base.state, state, merged)
    used = {update.entry.client: update for update in usable}
    manifest = ModelManifest(
        version=place.version,
        step=place.step,
        model=Cid(project.terms.model),
        weights=cid_of(encode(merged.weights)),
        base=base_cid,
        algorithm=AlgorithmRef(project.terms.algorithm.name, project.terms.algorithm.params),
        updates=tuple(
            UsedUpdate(
                ClientId(client), Cid(one.entry.cid), one.entry.num_examples, one.entry.reward, one.num_shared
            )
            for client, one in sorted(used.items())
        ),
        refused=refused,
        state=cid_of([canonical_json(document.to_json())]) if document else None,
    )
    return Merged(manifest, merged, document, changed)


def _filtered(opened: Sequence[Opened], base: Cid) -> tuple[list[Opened], dict[ClientId, str]]:
    """Return the updates to merge, by client id, and why the others are not among them."""
    claims = [Claim(one.client, base, Cid(one.cid), one.num_examples, fault=one.fault) for one in opened]
    accepted, refusals = filter_updates(claims, base)
    usable = {claim.client for claim in accepted}
    merged = sorted((one for one in opened if one.client in usable), key=lambda one: one.client)
    return merged, {refusal.client: refusal.code for refusal in refusals}


def _aggregate(project: Project, state: ServerState, step: int, usable: Sequence[Opened]) -> ServerState:
    terms, rewards = project.terms, [one.entry.reward for one in usable]
    weights = client_weights([one.num_examples for one in usable], rewards, terms.kappa, terms.cap_ratio)
    bonuses = client_bonuses(rewards, terms.kappa)
    updates = [
        Update(one.client, one.source, weight, bonus)
        for one, weight, bonus in zip(usable, weights, bonuses, strict=True)
    ]
    merged = project.strategy.aggregate(state, updates, project.rules(step))
    require_finite(merged, state)
    return merged


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

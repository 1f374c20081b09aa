"""The aggregate and verify tasks: recompute the candidate from the registered updates, and score it.

Both do the same (Algorithms 4 and 5): the aggregating member also keeps the merged weights, for everybody,
and scores them on the project's test set.
"""

import time
from collections.abc import Mapping

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import ObjectDamaged, ObjectMissing, UpdateRefused
from foedus.core.ids import Cid, ClientId
from foedus.launch import JobFolder
from foedus.learn.aggregation import client_weights
from foedus.learn.strategy import MergeRules, Update
from foedus.learn.updates import Claim, check_update, filter_updates
from foedus.learn.weights import MemorySource, TensorSource, Weights
from foedus.rounds.documents import MergeOrder, MergeResult, UpdateEntry
from foedus.rounds.tasks.project import Project, open_project
from foedus.store import AlgorithmRef, ModelManifest, TensorFile, UsedUpdate, cid_of, encode

KEEP_BYTES = 256 << 20  # updates up to this size together stay in memory between checking and merging


def run_merge(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Merge, score, and write the result; the aggregating member first writes the merged weights."""
    started = time.monotonic()
    order = MergeOrder.from_json(values, "the order")
    project = open_project(order.store, Cid(order.terms))
    manifest, weights = merge(project, Cid(order.base), order.version, order.updates)
    if order.kind == "aggregate":
        folder.write_update(encode(weights))
    base = project.manifest(Cid(order.base)).weights
    own, val = f"{order.dataset}#val", project.private(order.dataset, "val")
    base_scores = project.score(base, project.weights(base), own, val)
    project.load(weights)
    local = project.score_loaded(manifest.weights, own, val)
    test = None
    if order.kind == "aggregate":
        test = project.score_loaded(
            manifest.weights, project.terms.test, project.published(Cid(project.terms.test))
        )
    project.remember_weights(manifest.weights, weights)
    folder.finish(
        MergeResult(
            kind=order.kind,
            candidate=cid_of([canonical_json(manifest.to_json())]),
            manifest=manifest.to_json(),
            refused={str(client): code for client, code in manifest.refused.items()},
            is_empty=not manifest.updates,
            local=local,
            base=base_scores,
            test=test,
            seconds=time.monotonic() - started,
        ).to_json()
    )


def merge(
    project: Project, base_cid: Cid, version: int, entries: list[UpdateEntry]
) -> tuple[ModelManifest, Weights]:
    """Compute the candidate from the registered updates: the same manifest and bytes for everybody.

    An update that breaks the schema, is not finite, touches frozen tensors or falls below the floor on the
    shared set is refused, alone. Without any usable update the candidate holds the base's weights, and
    nobody votes for it.
    """
    base = project.manifest(base_cid)
    server = project.weights(base.weights)
    sources: dict[ClientId, TensorSource] = {}
    claims: list[Claim] = []
    for entry in entries:
        client, cid, fault = ClientId(entry.client), Cid(entry.cid), ""
        try:
            sources[client] = _open_checked(project, base.weights, cid, len(entries))
        except UpdateRefused as error:
            fault = error.code
        except ObjectMissing:
            fault = "missing"
        except ObjectDamaged:
            fault = "damaged"
        claims.append(Claim(client, base_cid, cid, entry.num_examples, fault=fault))
    accepted, refused = filter_updates(claims, base_cid)
    used = [entry for entry in entries if entry.client in {claim.client for claim in accepted}]
    merged = _aggregate(project, server, sources, used)
    manifest = ModelManifest(
        version=version,
        model=Cid(project.terms.model),
        weights=cid_of(encode(merged)),
        base=base_cid,
        algorithm=AlgorithmRef(project.terms.algorithm.name, project.terms.algorithm.params),
        updates=tuple(
            UsedUpdate(ClientId(e.client), Cid(e.cid), e.num_examples, e.reward)
            for e in sorted(used, key=lambda entry: entry.client)
        ),
        refused={refusal.client: refusal.code for refusal in refused},
    )
    return manifest, merged


def _aggregate(
    project: Project, server: Weights, sources: Mapping[ClientId, TensorSource], used: list[UpdateEntry]
) -> Weights:
    terms, strategy = project.terms, project.strategy
    weights = client_weights(
        [e.num_examples for e in used], [e.reward for e in used], terms.kappa, terms.cap_ratio
    )
    updates = [
        Update(ClientId(e.client), sources[ClientId(e.client)], weight)
        for e, weight in zip(used, weights, strict=True)
    ]
    state = strategy.aggregate(strategy.init(server), updates, MergeRules(project.parts, terms.buffers))
    return state.weights


def _open_checked(project: Project, base: Cid, cid: Cid, count: int) -> TensorSource:
    """Open one update for merging, after every check that concerns it alone. Raises `UpdateRefused`."""
    file = project.store.open(cid)
    tensors = TensorFile(file, project.schema)
    source: TensorSource = tensors
    if project.schema.data_bytes * count <= KEEP_BYTES:
        source = MemorySource(tensors.read_all())
        file.close()
    check_update(source, project.weights(base), project.parts)
    if project.terms.floor_ratio > 0:
        weights = source.weights if isinstance(source, MemorySource) else tensors.read_all()
        _require_floor(project, base, cid, weights)
    return source


def _require_floor(project: Project, base: Cid, cid: Cid, weights: Weights) -> None:
    """The part of the gate that everybody can recompute (Algorithm 2, on the shared evaluation set)."""
    shared_cid = project.terms.shared
    shared = project.published(Cid(shared_cid))
    floor = project.terms.floor_ratio * project.score(base, project.weights(base), shared_cid, shared).f1
    found = project.score(cid, weights, shared_cid, shared).f1
    if found < floor:
        raise UpdateRefused("floor", f"scores {found:.4f} on the shared set, below the floor of {floor:.4f}")

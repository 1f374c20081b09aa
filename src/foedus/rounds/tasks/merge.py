"""The aggregate and verify tasks: recompute the candidate from the registered updates, and score it.

Both do the same (Algorithms 4 and 5): the aggregating member also keeps the merged weights and state, for
everybody, and scores them on the project's test set.
"""

import time
from collections.abc import Mapping

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import TaskFailed
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.rounds.documents import MergeOrder, MergeResult, PartFile, Scores
from foedus.rounds.tasks.memory import read_memory
from foedus.rounds.tasks.merging import Merged, Place, merge
from foedus.rounds.tasks.project import Project, open_for_task
from foedus.store import cid_of, encode

_NO_SCORES = Scores(loss=0.0, f1=0.0, accuracy=0.0, examples=0)


def run_merge(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Merge, score, and write the result; the aggregating member first writes the merged weights."""
    started = time.monotonic()
    order = MergeOrder.from_json(values, "the order")
    project = open_for_task(order.store, Cid(order.terms))
    place = Place(order.round, order.step, order.version)
    merged = merge(project, Cid(order.base), place, order.updates)
    candidate = cid_of([canonical_json(merged.manifest.to_json())])
    if order.kind == "aggregate":
        folder.write_update(encode(merged.state.weights))
        folder.write_state(buffer for part in merged.changed for buffer in part.buffers)
    try:
        (local, base, test), is_scored = _score(project, order, merged), True
    except TaskFailed:  # the client has lost what it kept for itself: it can merge, but has no opinion
        (local, base, test), is_scored = (_NO_SCORES, _NO_SCORES, None), False
    written = merged.changed if order.kind == "aggregate" else ()
    project.remember_state(candidate, merged.state)
    folder.finish(
        MergeResult(
            kind=order.kind,
            candidate=candidate,
            manifest=merged.manifest.to_json(),
            state=merged.document,
            parts=[PartFile(cid=part.cid, size=part.size) for part in written],
            refused={str(client): code for client, code in merged.manifest.refused.items()},
            is_empty=not merged.manifest.updates,
            is_scored=is_scored,
            local=local,
            base=base,
            test=test,
            seconds=time.monotonic() - started,
        ).to_json()
    )


def _score(project: Project, order: MergeOrder, merged: Merged) -> tuple[Scores, Scores, Scores | None]:
    """Score candidate and version in force on the member's own data, the candidate also on the test set.

    Between the exchanges of a round there is no model to score yet: the version's scores stand for both.
    """
    own, val = f"{order.dataset}#val", project.private(order.dataset, "val")
    current = Cid(order.current)
    version = project.manifest(current).weights
    base = project.score_as(order.memory, version, project.state(current).weights, own, val)
    if order.step < project.steps:
        return base, base, None
    kept = order.new_memory if read_memory(order.new_memory) else order.memory
    candidate, weights = merged.manifest.weights, merged.state.weights
    local = project.score_as(kept, candidate, weights, own, val)
    test = Cid(project.terms.test)
    if order.kind == "verify":
        return local, base, None
    return local, base, project.score_as(kept, candidate, weights, test, project.published(test))

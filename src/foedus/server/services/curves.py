"""What a run tells while it goes on: its numbers and its events, both limited by page."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.db import Metric, Run, RunEvent
from foedus.server.listing import plain

MOST: Final = 1000  # events in one answer


def metric_rows(db: Session, run: Run, first: int, last: int) -> list[Json]:
    """Return the run's numbers of these rounds in order; those of the global model have an empty client."""
    chosen = select(Metric).where(Metric.run_id == run.id, Metric.round.between(first, last))
    order = (Metric.round, Metric.name, Metric.client, Metric.step)
    return [
        {"round": one.round, "name": one.name, "client": one.client, "step": one.step, "value": one.value}
        for one in db.scalars(chosen.order_by(*order))
    ]


def event_rows(db: Session, run: Run, after: int) -> list[Json]:
    """Return up to `MOST` events of the run whose ids are greater than `after`."""
    chosen = select(RunEvent).where(RunEvent.run_id == run.id, RunEvent.id > after)
    return [
        {
            "id": one.id,
            "at": plain(one.at),
            "kind": one.kind,
            "round": one.round,
            "client": one.client,
            "values": one.values,
        }
        for one in db.scalars(chosen.order_by(RunEvent.id).limit(MOST))
    ]

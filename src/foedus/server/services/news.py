"""Whether there is anything new for somebody: in runs, ballots and batch jobs."""

import hashlib
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import AppJob, Decision, Run

_MOST: Final = 200  # of each: what is older hardly changes


def mark(db: Session, actor: Actor) -> str:
    """Return a word that changes when something does that the actor may see, and with nothing else."""
    runs = select(Run.id, Run.state, Run.round, Run.version, Run.score).where(
        Run.project_id.in_(visible_projects(actor))
    )
    asked = select(Decision.id, Decision.candidate, Decision.choice).where(Decision.user_id == actor.user_id)
    jobs = select(AppJob.id, AppJob.state).where(AppJob.owner_id == actor.user_id)
    found = [
        [tuple(row) for row in db.execute(query.order_by(key.desc()).limit(_MOST))]
        for query, key in ((runs, Run.id), (asked, Decision.id), (jobs, AppJob.id))
    ]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

"""Writes down who did what."""

from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.db import AuditEntry


def record(
    db: Session, actor: Actor, action: str, what: str, project: int | None = None, details: str = ""
) -> None:
    """Add an entry to the audit log, in the transaction of what it tells. Never put secrets in it."""
    entry = AuditEntry(
        actor=actor.name,
        action=action,
        what=what[:200],
        project_id=project,
        details=details[:4000],
        address=actor.address[:64],
    )
    db.add(entry)

"""What administrators tell everybody on their start pages."""

import datetime
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.db import Announcement
from foedus.server.errors import Invalid, NotFound
from foedus.server.services.audit import record

LEVELS: Final = ("info", "warning")
_MOST: Final = 200


def announcements(db: Session, actor: Actor) -> Sequence[Announcement]:
    """Return all announcements, the newest first."""
    require(db, actor, Action.ADMINISTER)
    return db.scalars(select(Announcement).order_by(Announcement.id.desc()).limit(_MOST)).all()


def announce(
    db: Session, actor: Actor, now: datetime.datetime, text: str, level: str, days: int | None
) -> Announcement:
    """Tell everybody something on their start page, for `days`, or until it is withdrawn if None."""
    require(db, actor, Action.ADMINISTER)
    faults = {}
    if not 1 <= len(text.strip()) <= 4000 or "\0" in text:
        faults["text"] = "needs 1 to 4,000 characters"
    if level not in LEVELS:
        faults["level"] = f"must be one of {', '.join(LEVELS)}"
    if days is not None and not 1 <= days <= 365:
        faults["days"] = "must be from 1 to 365, or empty"
    if faults:
        raise Invalid(faults)
    ends_at = None if days is None else now + datetime.timedelta(days=days)
    row = Announcement(text=text.strip(), level=level, created_at=now, ends_at=ends_at)
    db.add(row)
    db.flush()
    record(db, actor, "announce", f"announcement {row.id}", details=row.text)
    return row


def withdraw_announcement(db: Session, actor: Actor, announcement: int) -> None:
    """Take an announcement back."""
    require(db, actor, Action.ADMINISTER)
    row = db.get(Announcement, announcement)
    if row is None:
        raise NotFound("such announcement")
    db.delete(row)
    record(db, actor, "withdraw announcement", f"announcement {announcement}", details=row.text)

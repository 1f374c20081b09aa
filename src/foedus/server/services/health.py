"""How the parts of the platform are: for the start page, for load balancers and for monitoring."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.server.db import ChainHead, Worker
from foedus.server.db.engine import newest_revision, revision_of
from foedus.server.platform import Platform

SEEN_S: Final = 30
"""A worker that was not seen for longer is taken for gone."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the platform: `state` is `ok`, `unknown` (nothing to see yet) or `down`, `why` says more."""

    name: str
    state: str
    why: str

    @property
    def is_ok(self) -> bool:
        """Whether the platform can work with it as it is."""
        return self.state != "down"


def parts(platform: Platform) -> tuple[Part, ...]:
    """Look at each part. Waits no longer than the database does; while that is away, less is told."""
    try:
        return (*_in_database(platform), _store(platform))
    except SQLAlchemyError:
        return (Part("database", "down", "it does not answer"), _store(platform))


def _in_database(platform: Platform) -> tuple[Part, ...]:
    found, needed = revision_of(platform.engine), newest_revision()
    if found != needed:
        why = f"it is at revision {found or 'none'}, this version needs {needed}"
        return (Part("database", "down", why),)
    since = platform.now() - timedelta(seconds=SEEN_S)
    with platform.reading() as db:
        alive = db.scalar(
            select(func.count()).select_from(Worker).where(Worker.seen_at >= since, Worker.state != "stopped")
        )
        seen = db.scalar(select(func.max(Worker.seen_at)))
        block = db.scalar(select(func.max(ChainHead.block)))
    if alive:
        worker = Part("worker", "ok", f"{alive} seen in the last {SEEN_S} s")
    elif seen is not None:
        worker = Part("worker", "down", f"none was seen in the last {SEEN_S} s: runs and batch jobs wait")
    else:
        worker = Part("worker", "down", "none is there: start one with foedus worker")
    index = Part("index", "unknown", "no block is in the index yet")
    if block is not None:
        index = Part("index", "ok", f"up to block {block:,}")
    return (Part("database", "ok", f"at revision {found}"), worker, index)


def _store(platform: Platform) -> Part:
    if platform.home.store.is_dir():
        return Part("store", "ok", "the folder is there")
    if platform.home.root.is_dir():
        return Part("store", "unknown", "nothing is stored yet")
    return Part("store", "down", "the home folder is gone")

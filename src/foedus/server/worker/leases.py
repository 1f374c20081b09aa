"""Leases: a row is worked on by one worker at a time, and by another one once that has fallen silent.

Each claim gives the row a new number. Whoever writes later checks that it is still the one of its claim, so a
worker that was paused for long cannot overwrite what its successor did.
"""

import datetime
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import ColumnElement, CursorResult, or_, select, update
from sqlalchemy.orm import Session

from foedus.server.db import AppJob, Dataset, Explanation, ImageRequest, Run, SharedDataset
from foedus.server.platform import Platform

LeasedRow: TypeAlias = (
    type[Run] | type[Dataset] | type[SharedDataset] | type[AppJob] | type[ImageRequest] | type[Explanation]
)

_TABLES: Final[tuple[LeasedRow, ...]] = (Run, Dataset, SharedDataset, AppJob, ImageRequest, Explanation)
LEASE_S: Final = 30.0
"""A worker that has not renewed a lease for so long has lost it."""


class LeaseLost(Exception):
    """Another worker has the row now: stop, and write nothing more about it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim of one row."""

    table: LeasedRow
    id: int
    owner: str
    version: int

    def require(self, db: Session) -> None:
        """Raise `LeaseLost` unless the claim still holds. Do this in the transaction that writes."""
        held = select(self.table.id).where(
            self.table.id == self.id,
            self.table.lease_owner == self.owner,
            self.table.lease_version == self.version,
        )
        if db.scalar(held.with_for_update()) is None:
            raise LeaseLost(f"{self.table.__tablename__} {self.id}")


def claim(platform: Platform, table: LeasedRow, wanted: ColumnElement[bool], owner: str) -> Lease | None:
    """Claim the oldest row that is wanted and nobody works on."""
    now = platform.now()
    until = now + datetime.timedelta(seconds=LEASE_S)
    is_free = or_(table.lease_until.is_(None), table.lease_until < now)
    oldest = select(table.id).where(wanted, is_free).order_by(table.id).limit(1)
    with platform.writing() as db:
        statement = (
            update(table)
            .where(table.id == oldest.scalar_subquery(), is_free)
            .values(lease_owner=owner, lease_until=until, lease_version=table.lease_version + 1)
            .returning(table.id, table.lease_version)
            .execution_options(synchronize_session=False)
        )
        row = db.execute(statement).one_or_none()
    return None if row is None else Lease(table, row[0], owner, row[1])


def renew(db: Session, lease: Lease, now: datetime.datetime) -> None:
    """Hold a claim for longer. Raises `LeaseLost` when somebody else has it."""
    _set(db, lease, now + datetime.timedelta(seconds=LEASE_S))


def give_back(platform: Platform, lease: Lease) -> None:
    """Let others claim the row at once."""
    with platform.writing() as db:
        try:
            _set(db, lease, None)
        except LeaseLost:
            return


def take_over(platform: Platform, owner: str) -> None:
    """End the leases of all others: whoever has the chain's lock knows that no other worker works."""
    with platform.writing() as db:
        for table in _TABLES:
            statement = update(table).where(table.lease_owner != owner).values(lease_until=None)
            db.execute(statement.execution_options(synchronize_session=False))


def _set(db: Session, lease: Lease, until: datetime.datetime | None) -> None:
    table: Any = lease.table
    statement = (
        update(table)
        .where(table.id == lease.id, table.lease_owner == lease.owner, table.lease_version == lease.version)
        .values(lease_until=until)
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", db.execute(statement)).rowcount != 1:
        raise LeaseLost(f"{table.__tablename__} {lease.id}")

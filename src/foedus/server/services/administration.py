"""What administrators look after: workers and their leases, counts of tries, settings, the audit log."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.server.auth import limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.db import (
    AppJob,
    AuditEntry,
    Dataset,
    RateCount,
    Run,
    SharedDataset,
    User,
    Worker,
)
from foedus.server.db.base import Leased
from foedus.server.errors import Invalid, NotFound
from foedus.server.listing import Column, Listing
from foedus.server.platform import Platform
from foedus.server.services.audit import record
from foedus.server.settings import database_url
from foedus.site.settings import CONFIG_FILE

_MOST: Final = 200
_LEASED: Final[Mapping[str, type[Run] | type[Dataset] | type[SharedDataset] | type[AppJob]]] = {
    "run": Run,
    "dataset": Dataset,
    "shared dataset": SharedDataset,
    "batch job": AppJob,
}
_OF_SITE: Final = ("home", "data", "workers", "threads", "log_level", "launcher", "allocation")


@dataclass(frozen=True, slots=True)
class Lease:
    """A row that a worker has claimed."""

    kind: str
    id: int
    owner: str
    until: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting, and where it was said."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The start of administration."""

    waiting: Sequence[User]
    users: int
    workers: Sequence[Worker]
    rate_counts: int


def overview(db: Session, actor: Actor) -> Overview:
    """Return what needs an administrator's eye."""
    require(db, actor, Action.ADMINISTER)
    waiting = select(User).where(User.state == "waiting").order_by(User.id).limit(_MOST)
    return Overview(
        db.scalars(waiting).all(),
        db.scalar(select(func.count()).select_from(User)) or 0,
        db.scalars(select(Worker).order_by(Worker.name)).all(),
        db.scalar(select(func.count()).select_from(RateCount)) or 0,
    )


def audit_listing(db: Session, actor: Actor) -> Listing:
    """Return the audit log, for administrators."""
    require(db, actor, Action.ADMINISTER)
    return Listing(
        "Audit log",
        (
            Column("at", "When", AuditEntry.at, "time"),
            Column("actor", "Who", AuditEntry.actor),
            Column("action", "Did", AuditEntry.action),
            Column("what", "With", AuditEntry.what),
            Column("details", "Details", AuditEntry.details, is_sortable=False),
            Column("address", "From", AuditEntry.address),
        ),
        select().select_from(AuditEntry),
        AuditEntry.id,
        "-at",
        search=(AuditEntry.actor, AuditEntry.action, AuditEntry.what, AuditEntry.details),
    )


def workers(db: Session, actor: Actor) -> Sequence[Worker]:
    """Return the worker processes that were seen, the latest first."""
    require(db, actor, Action.ADMINISTER)
    return db.scalars(select(Worker).order_by(Worker.seen_at.desc()).limit(_MOST)).all()


def leases(db: Session, actor: Actor) -> Sequence[Lease]:
    """Return the rows that workers have claimed."""
    require(db, actor, Action.ADMINISTER)
    found: list[Lease] = []
    for kind, table in _LEASED.items():
        held = select(table.id, table.lease_owner, table.lease_until).where(table.lease_owner.is_not(None))
        rows = db.execute(held.order_by(table.id.desc()).limit(_MOST))
        found += [Lease(kind, row.id, str(row.lease_owner), row.lease_until) for row in rows]
    return found


def release(db: Session, actor: Actor, kind: str, row: int, confirm: str) -> None:
    """Take a claim from its worker, so that another one goes on; what the old one still writes is refused."""
    require(db, actor, Action.ADMINISTER)
    table = _LEASED.get(kind)
    leased = None if table is None else cast(Leased | None, db.get(table, row))
    if leased is None:
        raise NotFound("such lease")
    if confirm.strip() != str(row):
        raise Invalid({"confirm": f"type {row} to confirm"})
    owner, leased.lease_owner, leased.lease_until = leased.lease_owner, None, None
    leased.lease_version += 1
    record(db, actor, "release lease", f"{kind} {row}", details=f"of {owner}")


def forget_rate_counts(db: Session, actor: Actor, now: datetime.datetime, name: str = "") -> int:
    """Forget old counts of tries, and with a name all that keep this account from signing in."""
    require(db, actor, Action.ADMINISTER)
    gone = limits.forget_old(db, now)
    if name.strip():
        gone += limits.forget_account(db, name.strip().lower())
    record(db, actor, "forget rate counts", name.strip() or "old ones", details=f"{gone}")
    return gone


def settings_in_force(db: Session, actor: Actor, platform: Platform) -> Sequence[InForce]:
    """Return all settings with their origin; secrets are not among them."""
    require(db, actor, Action.ADMINISTER)
    site = platform.site
    found = [InForce(key, _in_words(getattr(site, key)), site.origin.get(key, "default")) for key in _OF_SITE]
    file = str(site.home / CONFIG_FILE)
    for name, section in (("server", platform.settings.server), ("oidc", platform.settings.oidc)):
        if section is None:
            continue
        for key, value in section.model_dump().items():
            shown = _in_words(value)
            if key == "database":
                shown = "set" if value else database_url(site, platform.settings)  # a password may be in it
            origin = file if key in section.model_fields_set else "default"
            found.append(InForce(f"{name}.{key}", shown, site.origin.get(f"{name}.{key}", origin)))
    return found


def _in_words(value: object) -> str:
    """Write the value of a setting; several are separated by commas."""
    words = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return words or "none"

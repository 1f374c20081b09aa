"""What administrators do: accounts, announcements, leases, and a look at settings and the audit log."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth import browsers, limits, passwords
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.auth.secrets import new_secret
from foedus.server.db import (
    Announcement,
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
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing, plain
from foedus.server.platform import Platform
from foedus.server.services.audit import record

STATES: Final = ("waiting", "active", "disabled")
LEVELS: Final = ("info", "warning")
_MOST: Final = 200
_LEASED: Final[Mapping[str, type[Run] | type[Dataset] | type[SharedDataset] | type[AppJob]]] = {
    "run": Run,
    "dataset": Dataset,
    "shared dataset": SharedDataset,
    "batch job": AppJob,
}
_OF_SITE: Final = ("home", "data", "workers", "threads", "log_level", "launcher", "allocation")
_SECRET: Final = frozenset({"database"})  # may hold a password


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


# --- accounts ---


def user_listing(db: Session, actor: Actor) -> Listing:
    """Return the list of all accounts, for administrators."""
    require(db, actor, Action.ADMINISTER)
    return Listing(
        "Users",
        (
            Column("name", "Name", User.name, link="/admin/users/{name}"),
            Column("display_name", "Called", User.display_name),
            Column("email", "E-mail", User.email, is_sortable=False),
            Column("site", "Site", User.site),
            Column("state", "State", User.state, "state"),
            Column("is_admin", "Administrator", User.is_admin),
            Column("created_at", "Created", User.created_at, "time"),
            Column("seen_at", "Last seen", User.seen_at, "time", is_sortable=False),
        ),
        select().select_from(User),
        User.id,
        "name",
        search=(User.name, User.display_name, User.email, User.site),
        filters=(Filter("state", "State", User.state, STATES),),
    )


def find_user(db: Session, actor: Actor, name: str) -> User:
    """Return an account, for administrators."""
    require(db, actor, Action.ADMINISTER)
    user = db.scalar(select(User).where(User.name == name))
    if user is None:
        raise NotFound("such user")
    return user


def approve_users(db: Session, actor: Actor, names: Sequence[str]) -> int:
    """Let accounts that wait be used; returns how many."""
    require(db, actor, Action.ADMINISTER)
    if not 1 <= len(names) <= _MOST:
        raise Invalid({"name": f"choose 1 to {_MOST} accounts"})
    approved = [user for user in (find_user(db, actor, name) for name in names) if user.state == "waiting"]
    for user in approved:
        user.state = "active"
        record(db, actor, "approve user", user.name)
    return len(approved)


def set_state(db: Session, actor: Actor, name: str, is_enabled: bool, confirm: str) -> User:
    """Enable or disable an account; disabling ends all its sessions, and its tokens stop to work."""
    user = _confirmed(db, actor, name, confirm)
    if not is_enabled:
        _require_another_admin(db, user)
        browsers.sign_out_everywhere(db, user.id)
    user.state = "active" if is_enabled else "disabled"
    record(db, actor, "enable user" if is_enabled else "disable user", name)
    return user


def set_admin(db: Session, actor: Actor, name: str, is_admin: bool, confirm: str) -> User:
    """Make somebody an administrator, or no longer one. Raises `Conflict` for the last one."""
    user = _confirmed(db, actor, name, confirm)
    if not is_admin:
        _require_another_admin(db, user)
    user.is_admin = is_admin
    record(db, actor, "make administrator" if is_admin else "end administrator", name)
    return user


def one_time_password(platform: Platform, actor: Actor, name: str, confirm: str) -> str:
    """Give an account a password for one sign-in, in place of its own; ends its sessions. Shown once."""
    with platform.reading() as db:
        _confirmed(db, actor, name, confirm)
    password = new_secret()
    kept = passwords.hash_password(password)
    with platform.writing() as db:
        user = _confirmed(db, actor, name, confirm)
        user.password_hash, user.password_once = kept, True
        browsers.sign_out_everywhere(db, user.id, but=actor.session)
        record(db, actor, "make one-time password", name)
    return password


# --- announcements ---


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


# --- what happened, who works, what holds ---


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
    found = [InForce(key, str(getattr(site, key)), site.origin.get(key, "default")) for key in _OF_SITE]
    file = str(site.home / "config.toml")
    for name, section in (("server", platform.settings.server), ("oidc", platform.settings.oidc)):
        if section is None:
            continue
        for key, value in section.model_dump().items():
            shown = "set" if key in _SECRET and value else str(value)
            origin = file if key in section.model_fields_set else "default"
            found.append(InForce(f"{name}.{key}", shown, origin))
    return found


def as_json(user: User) -> dict[str, Json]:
    """Return an account as the API gives it to administrators."""
    return {
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "site": user.site,
        "state": user.state,
        "is_admin": user.is_admin,
        "created_at": plain(user.created_at),
        "seen_at": plain(user.seen_at),
    }


def _confirmed(db: Session, actor: Actor, name: str, confirm: str) -> User:
    user = find_user(db, actor, name)
    if confirm.strip() != user.name:
        raise Invalid({"confirm": f"type {user.name} to confirm"})
    return user


def _require_another_admin(db: Session, user: User) -> None:
    # the rows are locked, so that two administrators cannot end each other at the same moment
    admins = select(User.id).where(User.is_admin, User.state == "active").with_for_update()
    if set(db.scalars(admins)) <= {user.id}:
        raise Conflict(f"{user.name} is the only administrator", "Make somebody else one first.")

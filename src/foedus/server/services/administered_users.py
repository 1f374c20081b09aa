"""What administrators do with accounts: list, approve, disable, promote, help back in."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth import browsers, passwords
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.auth.secrets import new_secret
from foedus.server.db import User
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing, plain
from foedus.server.platform import Platform
from foedus.server.services.audit import record

STATES: Final = ("waiting", "active", "disabled")
_MOST: Final = 200


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

"""Accounts of people whom somebody else vouches for: a provider of identities, or a proxy before us."""

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.server.auth import limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.oidc import Claimed
from foedus.server.auth.passwords import is_right
from foedus.server.db import Identity, User
from foedus.server.errors import Conflict, Denied, Invalid, NotFound
from foedus.server.platform import Platform
from foedus.server.services.accounts import Entry, enter, name_fault, own
from foedus.server.services.audit import record
from foedus.server.services.first_account import is_unused

PROXY: Final = "remote-user"
"""The issuer of names that a trusted proxy gives."""
_MOST_NAMES: Final = 1000


def enter_claimed(platform: Platform, claimed: Claimed, entry: Entry) -> str:
    """Sign somebody in by their identity, with a new account at first; returns the cookie's secret.

    Accounts are found by issuer and subject alone: a name or an e-mail address says nothing about whose an
    account is. Raises `Denied` where groups, settings or the account's state forbid it.
    """
    _require_group(platform, claimed)
    with platform.writing() as db:  # of its own: a new account stays, also where it has to wait
        user = _find_or_make(db, platform, claimed, entry)
        _follow_groups(db, platform, user, claimed, entry)
    with platform.writing() as db:
        return enter(db, platform, db.get_one(User, user.id), entry)


def linked(db: Session, actor: Actor) -> Sequence[Identity]:
    """Return the identities by which the actor may sign in."""
    mine = select(Identity).where(Identity.user_id == actor.user_id)
    return db.scalars(mine.order_by(Identity.id)).all()


def confirm_link(platform: Platform, actor: Actor, password: str, confirm: str) -> int:
    """Return the id of the actor's account, to which an identity may be linked now.

    The account's password is asked for, or its name where it has none: an open browser must not let others
    in. Raises `Invalid` naming the field at fault, and `TooMany`.
    """
    with platform.reading() as db:
        user = own(db, actor)
    if user.password_hash is None and confirm.strip() != user.name:
        raise Invalid({"link_confirm": f"type {user.name} to confirm"})
    if user.password_hash is not None:
        limits.attempt(platform, limits.PASSWORD, user.name)
        if not is_right(password, user.password_hash):
            raise Invalid({"link_password": "this is not your present password"})
    return user.id


def link(platform: Platform, actor: Actor, claimed: Claimed, user_id: int) -> None:
    """Let the actor sign in by one more identity, whose owner has just shown that it is theirs.

    Raises `Denied` unless it was begun for the actor's own account, `Conflict` for somebody else's identity.
    """
    _require_group(platform, claimed)
    with platform.writing() as db:
        user = own(db, actor)
        if user.id != user_id:
            raise Denied("this was begun from another account", "Begin again on the page of your account.")
        match = (Identity.issuer == claimed.issuer, Identity.subject == claimed.subject)
        known = db.scalar(select(Identity).where(*match))
        if known is not None and known.user_id != user.id:
            raise _taken()
        if known is not None:
            return
        db.add(Identity(user_id=user.id, issuer=claimed.issuer, subject=claimed.subject))
        try:
            db.flush()
        except IntegrityError as error:  # somebody else signed up by it just now
            raise _taken() from error
        record(db, actor, "link identity", user.name, details=f"by {claimed.issuer}")


def unlink(db: Session, actor: Actor, identity: int) -> None:
    """End one way to sign in. Raises `NotFound` for anybody else's, `Conflict` for the only way."""
    user = own(db, actor)
    db.refresh(user, with_for_update=True)  # two at once must not end both of two
    row = db.get(Identity, identity)
    if row is None or row.user_id != user.id:
        raise NotFound("such identity")
    if user.password_hash is None and len(linked(db, actor)) < 2:
        raise Conflict("this is the only way into your account", "Set a password first.")
    db.delete(row)
    record(db, actor, "unlink identity", user.name, details=f"by {row.issuer}")


def _taken() -> Conflict:
    return Conflict(
        "this identity belongs to another account", "Sign in by it and unlink it there, or use that account."
    )


def _require_group(platform: Platform, claimed: Claimed) -> None:
    provider = platform.settings.oidc
    if provider is not None and claimed.issuer == provider.issuer:
        allowed = {*provider.member_groups, *provider.admin_groups}
        if provider.member_groups and not allowed & claimed.groups:
            raise Denied("none of your groups may use this platform", "Ask an administrator.")


def _find_or_make(db: Session, platform: Platform, claimed: Claimed, entry: Entry) -> User:
    match = (Identity.issuer == claimed.issuer, Identity.subject == claimed.subject)
    user = db.scalar(select(User).join(Identity).where(*match))
    if user is not None:
        return user
    is_admin = _is_admin(platform, claimed)
    if is_unused(db) and not is_admin:
        raise Denied("the platform has no administrator yet", "Whoever set it up opens /welcome first.")
    if platform.server.sign_up == "closed" and not is_admin:
        raise Denied("this platform does not take new accounts", "Ask an administrator for one.")
    is_active = is_admin or platform.server.sign_up == "open"
    name = _free_name(db, claimed.name)
    email = claimed.email.strip().lower()[:200] or None
    if email and db.scalar(select(User.id).where(User.email == email)) is not None:
        email = None
    user = User(
        name=name,
        display_name=claimed.display_name.strip()[:200] or name,
        email=email,
        state="active" if is_active else "waiting",
        is_admin=is_admin,
    )
    user.identities.append(Identity(issuer=claimed.issuer, subject=claimed.subject))
    db.add(user)
    try:
        db.flush()
    except IntegrityError as error:  # the same person came twice at the same moment
        raise Conflict("this account was made just now", "Sign in again.") from error
    record(db, Actor(user, address=entry.address), "sign up", name, details=f"by {claimed.issuer}")
    return user


def _follow_groups(db: Session, platform: Platform, user: User, claimed: Claimed, entry: Entry) -> None:
    """Make or end an administrator as the provider's groups say, but never end the last one."""
    provider = platform.settings.oidc
    is_admin = _is_admin(platform, claimed)
    if provider is None or not provider.admin_groups or claimed.issuer != provider.issuer:
        return
    if user.is_admin == is_admin:
        return
    admins = set(db.scalars(select(User.id).where(User.is_admin, User.state == "active").with_for_update()))
    if is_admin or admins - {user.id}:
        user.is_admin = is_admin
        action = "make administrator" if is_admin else "end administrator"
        record(db, Actor(user, address=entry.address), action, user.name, details="by its groups")


def _is_admin(platform: Platform, claimed: Claimed) -> bool:
    provider = platform.settings.oidc
    is_theirs = provider is not None and claimed.issuer == provider.issuer
    return is_theirs and provider is not None and bool(claimed.groups & set(provider.admin_groups))


def _free_name(db: Session, wanted: str) -> str:
    """Return a name for a new account that is like the wanted one."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", wanted.partition("@")[0].lower()).strip("-_")[:28] or "user"
    for number in range(1, _MOST_NAMES):
        name = plain if number == 1 else f"{plain}-{number}"
        if name_fault(db, name) is None:
            return name
    raise Conflict("no name is free for a new account", "Ask an administrator.")

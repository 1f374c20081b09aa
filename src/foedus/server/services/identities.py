"""Accounts of people whom somebody else vouches for: a provider of identities, or a proxy before us."""

import re
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.auth.oidc import Claimed
from foedus.server.db import Identity, User
from foedus.server.errors import Conflict, Denied
from foedus.server.platform import Platform
from foedus.server.services.accounts import Entry, enter, is_unused, name_fault
from foedus.server.services.audit import record

PROXY: Final = "remote-user"
"""The issuer of names that a trusted proxy gives."""
_MOST_NAMES: Final = 1000


def enter_claimed(platform: Platform, claimed: Claimed, entry: Entry) -> str:
    """Sign somebody in by their identity, with a new account at first; returns the cookie's secret.

    Accounts are found by issuer and subject alone: a name or an e-mail address says nothing about whose an
    account is. Raises `Denied` where groups, settings or the account's state forbid it.
    """
    provider = platform.settings.oidc
    if provider is not None and claimed.issuer == provider.issuer:
        allowed = {*provider.member_groups, *provider.admin_groups}
        if provider.member_groups and not allowed & claimed.groups:
            raise Denied("none of your groups may use this platform", "Ask an administrator.")
    with platform.writing() as db:  # of its own: a new account stays, also where it has to wait
        user = _find_or_make(db, platform, claimed, entry)
        _follow_groups(db, platform, user, claimed, entry)
    with platform.writing() as db:
        return enter(db, platform, db.get_one(User, user.id), entry)


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

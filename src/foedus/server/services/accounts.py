"""Accounts: made at sign-up, signed in, changed by their owners."""

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth import browsers, limits, passwords
from foedus.server.auth.actors import Actor
from foedus.server.db import User, WebSession
from foedus.server.errors import Denied, Invalid, NotFound, SignInNeeded
from foedus.server.platform import Platform
from foedus.server.services.audit import record

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
RESERVED: Final = frozenset(
    {"nobody", "anybody", "everybody", "worker", "platform", "project", "admin", "administrator", "root"}
    | {"system", "foedus", "new", "me"}
)  # who speaks for the platform in audit log, pages and addresses
_EMAIL: Final = re.compile(r"[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where somebody comes from: the browser and its address."""

    browser: str
    address: str


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What people say of themselves when they sign up."""

    name: str
    password: str
    display_name: str = ""
    email: str = ""
    site: str = ""


# --- signing up and in ---


def sign_up(platform: Platform, new: NewAccount, entry: Entry) -> User:
    """Make an account, active or waiting as the settings say. Raises `Denied`, `Invalid` or `TooMany`."""
    if platform.server.sign_up == "closed":
        raise Denied("this platform does not take new accounts", "Ask an administrator for one.")
    limits.attempt(platform, limits.SIGN_UP, limits.network_of(entry.address))
    kept = checked_hash(platform, new)
    with platform.writing() as db:
        user = add_account(db, new, kept, "active" if platform.server.sign_up == "open" else "waiting")
        record(db, Actor(user, address=entry.address), "sign up", user.name)
    return user


def sign_in(platform: Platform, name: str, password: str, entry: Entry) -> tuple[User, str]:
    """Check name and password; returns the account and the secret of a new session.

    Raises `Invalid` with the same words for an unknown name and a wrong password, `Denied` where the password
    is right but the account is not active, `TooMany` while one has to wait.
    """
    name, where = name.strip().lower()[:64], limits.network_of(entry.address)
    with platform.reading() as db:
        user = db.scalar(select(User).where(User.name == name))
        is_known = user is not None and _has_been_here(db, user, entry.address)
    tries = [(limits.PAIR, f"{name}@{where}"), (limits.ADDRESS, where)]
    if not is_known:  # strangers at many addresses must not keep the owner out
        tries.append((limits.ACCOUNT, name))
    for limit, who in tries:
        limits.attempt(platform, limit, who)
    if not passwords.is_right(password, user.password_hash if user else None):
        raise Invalid({"name": "wrong name or password"}, "wrong name or password")
    assert user is not None, "nobody has no password"
    for limit, who in tries:
        limits.give_back(platform, limit, who)
    limits.forget(platform, limits.PAIR, f"{name}@{where}")
    fresh = passwords.hash_password(password) if passwords.is_outdated(user.password_hash or "") else None
    with platform.writing() as db:
        user = db.get_one(User, user.id)
        secret = enter(db, platform, user, entry)
        if user.password_once:
            user.password_hash = None
        elif fresh is not None:
            user.password_hash = fresh
    return user, secret


def enter(db: Session, platform: Platform, user: User, entry: Entry) -> str:
    """Begin a session for somebody who proved who they are. Raises `Denied` unless the account is active."""
    if user.state == "waiting":
        raise Denied("this account waits for approval by an administrator", "Try again later.")
    if user.state != "active":
        raise Denied("this account is disabled", "Ask an administrator.")
    secret = browsers.sign_in(db, user, platform.server, platform.now(), entry.browser, entry.address)
    record(db, Actor(user, address=entry.address), "sign in", user.name)
    return secret


# --- one's own account ---


def own(db: Session, actor: Actor) -> User:
    """Return the actor's account to be changed: in a browser only, since tokens act within it, not on it."""
    if actor.user is None:
        raise SignInNeeded
    if actor.session is None:
        raise Denied("a token may not change the account", "Sign in with a browser.")
    return db.get_one(User, actor.user.id)


def edit_profile(db: Session, actor: Actor, display_name: str, email: str, site: str) -> User:
    """Change what the account says of its owner."""
    user = own(db, actor)
    faults = _profile_faults(db, display_name, email, site, user.id)
    if faults:
        raise Invalid(faults)
    user.display_name, user.email, user.site = display_name.strip() or user.name, _email(email), site.strip()
    record(db, actor, "edit profile", user.name)
    return user


def change_password(platform: Platform, actor: Actor, current: str, new: str) -> None:
    """Set another password and end all other sessions. Raises `Invalid` naming the field at fault.

    `current` is the present password; of an account that has none, its name, to confirm. Who has just used
    up a one-time password needs neither.
    """
    with platform.reading() as db:
        user = own(db, actor)
    if user.password_hash is not None:
        limits.attempt(platform, limits.PASSWORD, user.name)
        if not passwords.is_right(current, user.password_hash):
            raise Invalid({"current": "this is not your present password"})
    elif not user.password_once and current.strip().lower() != user.name:
        raise Invalid({"current": f"type the name of this account, {user.name}"})
    fault = passwords.fault(new, user.name)
    if fault:
        raise Invalid({"new": fault})
    kept = passwords.hash_password(new)
    with platform.writing() as db:
        user = own(db, actor)
        user.password_hash, user.password_once = kept, False
        browsers.sign_out_everywhere(db, user.id, but=actor.session)
        record(db, actor, "change password", user.name)


def end_session(db: Session, actor: Actor, session: int) -> None:
    """Sign one of the actor's browsers out. Raises `NotFound` for anybody else's."""
    user = own(db, actor)
    row = db.get(WebSession, session)
    if row is None or row.user_id != user.id:
        raise NotFound("such session")
    db.delete(row)
    record(db, actor, "end session", user.name)


def end_sessions(db: Session, actor: Actor) -> None:
    """Sign all of the actor's browsers out, this one as well."""
    user = own(db, actor)
    browsers.sign_out_everywhere(db, user.id)
    record(db, actor, "sign out everywhere", user.name)


def as_json(user: User) -> dict[str, Json]:
    """Return one's own account as the API gives it."""
    return {
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "site": user.site,
        "is_admin": user.is_admin,
        "state": user.state,
        "address": user.address,
    }


def name_fault(db: Session, name: str) -> str | None:
    """Say what is wrong with the name of a new account."""
    if not NAME.fullmatch(name):
        return "use 1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit"
    if name in RESERVED:
        return "this name is reserved"
    if db.scalar(select(User.id).where(User.name == name)) is not None:
        return "this name is taken"
    return None


def _has_been_here(db: Session, user: User, address: str) -> bool:
    found = select(func.count()).where(WebSession.user_id == user.id, WebSession.address == address[:64])
    return bool(db.scalar(found))


def checked_hash(platform: Platform, new: NewAccount) -> str:
    """Return the password's hash after all fields were looked at, outside of any transaction that writes."""
    with platform.reading() as db:
        faults = _profile_faults(db, new.display_name, new.email, new.site)
        fault = name_fault(db, new.name)
    if fault:
        faults["name"] = fault
    fault = passwords.fault(new.password, new.name)
    if fault:
        faults["password"] = fault
    if faults:
        raise Invalid(faults)
    return passwords.hash_password(new.password)


def _profile_faults(db: Session, display_name: str, email: str, site: str, but: int = -1) -> dict[str, str]:
    faults = {}
    if len(display_name.strip()) > 200 or "\0" in display_name:
        faults["display_name"] = "at most 200 characters"
    if len(site.strip()) > 64 or "\0" in site:
        faults["site"] = "at most 64 characters"
    wanted = _email(email)
    if wanted is None:
        return faults
    if len(wanted) > 200 or not _EMAIL.fullmatch(wanted):
        faults["email"] = "this is no e-mail address"
    elif db.scalar(select(User.id).where(User.email == wanted, User.id != but)) is not None:
        faults["email"] = "another account has this address"
    return faults


def _email(text: str) -> str | None:
    return text.strip().lower() or None


def add_account(db: Session, new: NewAccount, kept: str, state: str, is_admin: bool = False) -> User:
    """Add an account whose password has this hash. Raises `Invalid` if its name or e-mail was just taken."""
    user = User(
        name=new.name,
        display_name=new.display_name.strip() or new.name,
        email=_email(new.email),
        site=new.site.strip(),
        password_hash=kept,
        state=state,
        is_admin=is_admin,
    )
    db.add(user)
    try:
        db.flush()
    except IntegrityError as error:  # somebody else took it just now
        raise Invalid({"name": "this name or e-mail address is taken"}) from error
    return user

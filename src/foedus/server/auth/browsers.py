"""Signed-in browsers: made at sign-in, found by their cookie, ended."""

import datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.auth.secrets import hash_of, new_secret
from foedus.server.db import User, WebSession
from foedus.server.settings import ServerSection

SEEN_S: Final = 60  # how exactly it is noted when a browser was seen last: not every request is a write


def cookie_name(is_https: bool) -> str:
    """Return the cookie's name. `__Host-` makes browsers insist on HTTPS, so plain HTTP does without."""
    return "__Host-foedus" if is_https else "foedus"


def sign_in(
    db: Session, user: User, settings: ServerSection, now: datetime.datetime, browser: str, address: str
) -> str:
    """Make a session and return its secret, for the cookie."""
    secret = new_secret()
    row = WebSession(
        token_hash=hash_of(secret),
        user_id=user.id,
        created_at=now,
        seen_at=now,
        expires_at=now + datetime.timedelta(hours=settings.session_max_h),
        browser=browser[:200],
        address=address[:64],
    )
    db.add(row)
    user.seen_at = now
    return secret


def find_session(
    db: Session, secret: str, settings: ServerSection, now: datetime.datetime
) -> WebSession | None:
    """Return the live session of this secret, of an account that is active."""
    row = db.scalar(select(WebSession).where(WebSession.token_hash == hash_of(secret)))
    if row is None or row.expires_at <= now or row.user.state != "active":
        return None
    is_idle = now - row.seen_at > datetime.timedelta(hours=settings.session_idle_h)
    return None if is_idle else row


def actor_of(row: WebSession, address: str) -> Actor:
    """Return who acts in this browser."""
    return Actor(row.user, frozenset(ALL_SCOPES), session=row.id, address=address)


def is_to_be_noted(row: WebSession, now: datetime.datetime) -> bool:
    """Whether it is time to write down that the browser was seen."""
    return (now - row.seen_at).total_seconds() > SEEN_S


def sign_out(db: Session, session: int) -> None:
    """End one session."""
    db.execute(delete(WebSession).where(WebSession.id == session))


def sign_out_everywhere(db: Session, user: int, but: int | None = None) -> None:
    """End all sessions of somebody, but perhaps the one in use."""
    found = delete(WebSession).where(WebSession.user_id == user)
    db.execute(found if but is None else found.where(WebSession.id != but))

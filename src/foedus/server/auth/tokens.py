"""Tokens for programs: `fed_<prefix>_<secret>`."""

import datetime
import hmac
import secrets
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.auth.secrets import hash_of, new_secret
from foedus.server.db import ApiToken

_START: Final = "fed"
_SEEN_S: Final = 60


def make_token(
    db: Session, user: int, note: str, scope: str, expires_at: datetime.datetime | None
) -> tuple[ApiToken, str]:
    """Make a token good for `scope` and those it includes. Returns its row, and the token for once."""
    prefix, secret = secrets.token_hex(6), new_secret()
    scopes = ALL_SCOPES[: ALL_SCOPES.index(scope) + 1]
    row = ApiToken(
        prefix=prefix,
        token_hash=hash_of(secret),
        user_id=user,
        note=note,
        scopes=" ".join(scopes),
        expires_at=expires_at,
    )
    db.add(row)
    db.flush()
    return row, f"{_START}_{prefix}_{secret}"


def find_token(db: Session, text: str, now: datetime.datetime) -> ApiToken | None:
    """Return the row of a live token of an active account."""
    start, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if start != _START or not prefix or not secret:
        return None
    row = db.scalar(select(ApiToken).where(ApiToken.prefix == prefix))
    if row is None or not hmac.compare_digest(row.token_hash, hash_of(secret)):
        return None
    is_over = row.expires_at is not None and row.expires_at <= now
    return None if is_over or row.user.state != "active" else row


def actor_of(row: ApiToken, address: str) -> Actor:
    """Return who acts by this token."""
    return Actor(row.user, frozenset(row.scopes.split()), token=row.id, address=address)


def is_to_be_noted(row: ApiToken, now: datetime.datetime) -> bool:
    """Whether it is time to write down that the token was used."""
    return row.used_at is None or (now - row.used_at).total_seconds() > _SEEN_S

"""Tokens for programs: made, shown once, listed, revoked by their owners."""

import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth import limits, tokens
from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.db import ApiToken
from foedus.server.errors import Conflict, Denied, Invalid, NotFound, SignInNeeded
from foedus.server.listing import Column, Listing, plain
from foedus.server.platform import Platform
from foedus.server.services.audit import record

LONGEST_DAYS: Final = 3650
_MOST: Final = 100


def create_token(
    platform: Platform, actor: Actor, note: str, scope: str, days: int | None
) -> tuple[ApiToken, str]:
    """Make a token that is good for `days`, for ever if None; returns its row, and the token for once.

    A token makes none that may do more or lives longer than itself. Raises `Invalid`, `Denied`, `TooMany`,
    or `Conflict` when somebody has too many.
    """
    if actor.user is None:
        raise SignInNeeded
    faults = _faults(actor, note, scope, days)
    if faults:
        raise Invalid(faults)
    if "write" not in actor.scopes or scope not in actor.scopes:
        raise Denied("a token may not make one that may do more than itself", "Make it on your account page.")
    limits.attempt(platform, limits.TOKENS, actor.user.name)
    expires_at = None if days is None else platform.now() + datetime.timedelta(days=days)
    with platform.writing() as db:
        if actor.token is not None:
            expires_at = _soonest(expires_at, db.get_one(ApiToken, actor.token).expires_at)
        held = db.scalar(select(func.count()).where(ApiToken.user_id == actor.user.id))
        if (held or 0) >= _MOST:
            raise Conflict(f"you have {_MOST} tokens already", "Revoke those that are not used any more.")
        row, token = tokens.make_token(db, actor.user.id, note.strip(), scope, expires_at)
        record(db, actor, "make token", row.prefix, details=f"{scope}: {note.strip()}")
    return row, token


def revoke_token(db: Session, actor: Actor, prefix: str) -> None:
    """End a token of the actor's. Raises `NotFound` for anybody else's."""
    if actor.user is None:
        raise SignInNeeded
    if "write" not in actor.scopes:
        raise Denied("the token lacks the scope write", "Revoke it on your account page.")
    found = select(ApiToken).where(ApiToken.prefix == prefix, ApiToken.user_id == actor.user.id)
    row = db.scalar(found)
    if row is None:
        raise NotFound("such token")
    db.delete(row)
    record(db, actor, "revoke token", row.prefix, details=row.note)


def token_listing(actor: Actor) -> Listing:
    """Return the list of the actor's tokens."""
    return Listing(
        "Tokens",
        (
            Column("prefix", "Begins with", ApiToken.prefix, "id"),
            Column("note", "Note", ApiToken.note),
            Column("scopes", "May", ApiToken.scopes),
            Column("created_at", "Created", ApiToken.created_at, "time"),
            Column("used_at", "Last used", ApiToken.used_at, "time", is_sortable=False),
            Column("expires_at", "Expires", ApiToken.expires_at, "time", is_sortable=False),
        ),
        select().select_from(ApiToken).where(ApiToken.user_id == actor.user_id),
        ApiToken.id,
        "-created_at",
        empty="No tokens yet. Make one on your account page for each program that acts for you.",
        search=(ApiToken.note,),
    )


def as_json(row: ApiToken) -> dict[str, Json]:
    """Return a token as the API gives it, without its secret."""
    return {
        "prefix": row.prefix,
        "note": row.note,
        "scopes": row.scopes,
        "created_at": plain(row.created_at),
        "used_at": plain(row.used_at),
        "expires_at": plain(row.expires_at),
    }


def _faults(actor: Actor, note: str, scope: str, days: int | None) -> dict[str, str]:
    faults = {}
    if not 1 <= len(note.strip()) <= 200 or "\0" in note:
        faults["note"] = "say in 1 to 200 characters what it is for"
    allowed = ALL_SCOPES if actor.user is not None and actor.user.is_admin else ALL_SCOPES[:-1]
    if scope not in allowed:
        faults["scope"] = f"must be one of {', '.join(allowed)}"
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        faults["days"] = f"must be from 1 to {LONGEST_DAYS:,}, or empty for a token without an end"
    return faults


def _soonest(one: datetime.datetime | None, other: datetime.datetime | None) -> datetime.datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)

"""Limits for what may be tried how often, counted in the database so that all web processes share them.

Each count is a transaction of its own: it stands when the request fails. So count before the request's own
transaction has begun to write, else the two wait for each other.
"""

import datetime
import ipaddress
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.server.db import RateCount
from foedus.server.errors import TooMany
from foedus.server.platform import Platform


@dataclass(frozen=True, slots=True)
class Limit:
    """How often something may be tried within a window; after that each try makes the wait twice as long."""

    kind: str
    what: str  # after `too many`
    free: int
    first_s: int = 30
    longest_s: int = 900
    window_s: int = 3600


PAIR: Final = Limit("sign-in", "tries to sign in", 5, longest_s=900)
"""One account from one address: what somebody who guesses meets first."""
ADDRESS: Final = Limit("sign-in-address", "tries to sign in", 50)
"""All accounts from one address."""
ACCOUNT: Final = Limit("sign-in-account", "tries to sign in", 100, longest_s=60)
"""One account from all addresses. `PAIR` keeps any single address from ever coming near it."""
SIGN_UP: Final = Limit("sign-up", "new accounts", 10)
SETUP: Final = Limit("welcome", "tries", 10)
TOKENS: Final = Limit("tokens", "new tokens", 30)
PROVIDER: Final = Limit("provider", "tries to sign in", 60)
RUNS: Final = Limit("runs", "new runs", 60)
KEYS: Final = Limit("keys", "exports of keys", 10)
EXPLAIN: Final = Limit("explain", "requests for heat maps", 120)
PASSWORD: Final = Limit("password", "tries to change the password", 10)


def attempt(platform: Platform, limit: Limit, who: str) -> None:
    """Count one try. Raises `TooMany`, without counting, while one has to wait."""
    now = platform.now()
    with platform.writing() as db:
        row = _row(db, _name(limit, who), now)
        if row.blocked_until is not None and row.blocked_until > now:
            raise TooMany(limit.what, math.ceil((row.blocked_until - now).total_seconds()))
        if now - row.since > datetime.timedelta(seconds=limit.window_s):
            row.count, row.since = 0, now
        row.count += 1
        row.blocked_until = None
        if row.count >= limit.free:
            wait_s = min(limit.first_s * 2 ** min(row.count - limit.free, 20), limit.longest_s)
            row.blocked_until, row.since = now + datetime.timedelta(seconds=wait_s), now


def give_back(platform: Platform, limit: Limit, who: str) -> None:
    """Take the last try back: it was a right one."""
    with platform.writing() as db:
        row = db.get(RateCount, _name(limit, who))
        if row is not None:
            row.count = max(row.count - 1, 0)
            row.blocked_until = None


def forget(platform: Platform, limit: Limit, who: str) -> None:
    """Forget all tries."""
    with platform.writing() as db:
        db.execute(delete(RateCount).where(RateCount.what == _name(limit, who)))


def forget_old(db: Session, now: datetime.datetime) -> int:
    """Remove counts that mean nothing any more; returns how many."""
    old = now - datetime.timedelta(days=1)
    gone = db.scalars(delete(RateCount).where(RateCount.since < old).returning(RateCount.what)).all()
    return len(gone)


def forget_account(db: Session, name: str) -> int:
    """Remove what keeps people from signing in to an account; returns how many counts."""
    pairs = RateCount.what.startswith(f"{PAIR.kind}:{name}@", autoescape=True)
    found = delete(RateCount).where(pairs | (RateCount.what == _name(ACCOUNT, name)))
    return len(db.scalars(found.returning(RateCount.what)).all())


def network_of(address: str) -> str:
    """Return what counts as one address: for IPv6 the /64 that one household or institute is given."""
    with suppress(ValueError):
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False))
    return address


def _name(limit: Limit, who: str) -> str:
    return f"{limit.kind}:{who}"[:300]


def _row(db: Session, what: str, now: datetime.datetime) -> RateCount:
    """Return the row, locked until the transaction ends."""
    found = select(RateCount).where(RateCount.what == what).with_for_update()
    row = db.scalar(found)
    if row is None:
        with suppress(IntegrityError), db.begin_nested():  # another process may make it at the same time
            db.add(RateCount(what=what, count=0, since=now))
        row = db.scalars(found).one()
    return row

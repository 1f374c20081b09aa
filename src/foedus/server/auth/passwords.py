"""Passwords: kept as Argon2id hashes, checked without telling who has an account."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from foedus.server.errors import Unavailable

SHORTEST: Final = 12
LONGEST: Final = 1000
_PATIENCE_S: Final = 5.0
_HASHER = PasswordHasher()
_TURNS: Final = threading.BoundedSemaphore(2)  # each takes 64 MiB: many at once must not exhaust the memory


def hash_password(password: str) -> str:
    """Return what is kept of a password. Raises `Unavailable` when too many are hashed at the moment."""
    with _turn():
        return _HASHER.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether this is the password; for an account without one it takes as long and says no."""
    with _turn():
        try:
            _HASHER.verify(kept or _nobodys(), password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


def fault(password: str, name: str = "") -> str | None:
    """Say what is wrong with a new password; None if it will do."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"use {SHORTEST} to {LONGEST:,} characters"
    if len(set(password)) < 4 or (name and password.lower() == name * (len(password) // len(name))):
        return "this is too easy to guess"
    return None


@cache
def _nobodys() -> str:
    """Return a hash that a password is compared with where there is no account."""
    return _HASHER.hash("the password of nobody")


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURNS.acquire(timeout=_PATIENCE_S):
        raise Unavailable("too many people sign in at the moment", "Try again in a few seconds.")
    try:
        yield
    finally:
        _TURNS.release()

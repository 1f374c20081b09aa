"""The first account, an administrator's: made by whoever reads what the server prints when it starts."""

import hmac
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.server.auth import browsers, limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.secrets import new_secret
from foedus.server.db import Setting, User
from foedus.server.db.accounts import DEMO_SITES
from foedus.server.errors import Conflict, Invalid
from foedus.server.platform import Platform
from foedus.server.services.accounts import Entry, NewAccount, add_account, checked_hash
from foedus.server.services.audit import record

_FOUNDED: Final = "founded_by"


def is_unused(db: Session) -> bool:
    """Whether nobody has an account yet; members of the demo do not count."""
    return db.scalar(select(User.id).where(User.name.not_in(DEMO_SITES)).limit(1)) is None


def setup_code(platform: Platform) -> str | None:
    """Return the code that the first account asks for, kept in `<home>/setup-code`.

    None, and no file, once there is an account.
    """
    path = platform.home.root / "setup-code"
    with platform.reading() as db:
        if not is_unused(db):
            path.unlink(missing_ok=True)
            return None
    if not path.exists():
        _write_new(path, new_secret())
    return path.read_text().strip()


def welcome(platform: Platform, code: str, new: NewAccount, entry: Entry) -> str:
    """Make the first account, an administrator's, and sign it in; returns the cookie's secret.

    Raises `Conflict` when there is an account already, `Invalid` for a wrong code or field.
    """
    right = setup_code(platform)
    if right is None:
        raise Conflict("the platform has its first account already", "Sign in, or sign up.")
    limits.attempt(platform, limits.SETUP, limits.network_of(entry.address))
    if not right or not hmac.compare_digest(right.encode(), code.strip().encode()):
        raise Invalid({"code": "this is not the code that the server printed when it started"})
    kept = checked_hash(platform, new)
    with platform.writing() as db:
        user = add_account(db, new, kept, "active", is_admin=True)
        db.add(Setting(key=_FOUNDED, value=user.name))
        try:
            db.flush()
        except IntegrityError as error:
            raise Conflict("the platform has its first account already", "Sign in, or sign up.") from error
        record(db, Actor(user, address=entry.address), "make first account", user.name)
        secret = browsers.sign_in(db, user, platform.server, platform.now(), entry.browser, entry.address)
    (platform.home.root / "setup-code").unlink(missing_ok=True)
    return secret


def _write_new(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; one that another process wrote meanwhile stays."""
    temporary = path.with_name(f".{path.name}.{new_secret()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{text}\n")
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()

"""The chain key of an account: shown by its address, taken away under a password, replaced."""

import json

from eth_keyfile.keyfile import create_keyfile_json
from sqlalchemy.orm import Session

from foedus.chain.keys import PERSON_COST, KeyRing
from foedus.server.auth import limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.passwords import LONGEST, SHORTEST, is_right
from foedus.server.errors import Conflict, Invalid
from foedus.server.platform import Platform
from foedus.server.services.accounts import own
from foedus.server.services.audit import record


def export_key(platform: Platform, actor: Actor, current: str, password: str) -> tuple[str, bytes]:
    """Return name and content of a keystore file, encrypted under `password`.

    The account's own password, if it has one, is asked for: an open browser must not give the key away.
    Raises `Invalid` naming the field at fault, `Conflict` while there is no key yet, and `TooMany`.
    """
    with platform.reading() as db:
        user = own(db, actor)
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid({"file_password": f"use {SHORTEST} to {LONGEST:,} characters"})
    if not (platform.home.keys / f"{user.account}.json").is_file():
        raise Conflict("the chain key is not made yet", "A worker makes it; try again in a minute.")
    limits.attempt(platform, limits.KEYS, user.name)
    if user.password_hash is not None and not is_right(current, user.password_hash):
        raise Invalid({"key_password": "this is not your present password"})
    key = KeyRing(platform.home.keys).private_key(user.account)
    keystore = create_keyfile_json(key.to_bytes(), password.encode(), kdf="scrypt", iterations=PERSON_COST)
    keystore["address"] = key.public_key.to_address().removeprefix("0x")
    with platform.writing() as db:
        record(db, actor, "export key", user.account)
    return f"{user.account}.json", json.dumps(keystore, sort_keys=True).encode() + b"\n"


def replace_key(db: Session, actor: Actor, confirm: str) -> None:
    """Have a worker give the account another chain key. `confirm` must be the account's name."""
    user = own(db, actor)
    if confirm.strip() != user.name:
        raise Invalid({"confirm": f"type {user.name} to confirm"})
    user.key_number += 1
    user.address = None
    record(db, actor, "replace key", user.account)

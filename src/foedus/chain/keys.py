"""Accounts' keys: one encrypted keystore file each, in the format of Ethereum wallets (version 3, scrypt)."""

import json
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from eth_keys.datatypes import PrivateKey

from foedus.chain.files import sync_folder
from foedus.core.errors import KeyUnusable
from foedus.core.recursion import stay_shallow

stay_shallow()  # eth_keyfile loads py_ecc, which raises the limit

ACCOUNT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MAX_FILE_BYTES = 65_536
OWN_SECRET_COST = 1024  # scrypt's n: the secret has 256 bits already
PERSON_COST = 262_144  # the usual n of wallets, about a second: people choose guessable passwords
CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class KeyRing:
    """The keys in a folder, created on first use and kept unlocked in memory.

    Without a password, a random one is kept in the folder's file `password`: keys are as safe as the folder.
    """

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self._folder = folder
        self._given = password
        self._keys: dict[str, PrivateKey] = {}

    def address_of(self, account: str) -> str:
        """Return the account's checksummed address."""
        return self.private_key(account).public_key.to_checksum_address()

    def private_key(self, account: str) -> PrivateKey:
        """Return the account's key. Raises `KeyUnusable` for a bad name, file or password."""
        key = self._keys.get(account)
        if key is None:
            key = self._keys[account] = self._open_or_create(account)
        return key

    def _open_or_create(self, account: str) -> PrivateKey:
        if not ACCOUNT.fullmatch(account):
            raise KeyUnusable(
                f"{account!r} is not an account name",
                "Use 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit.",
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{account}.json"
        if not path.exists():
            fresh = 1 + secrets.randbelow(CURVE_ORDER - 1)
            _write_once(path, self._encrypt(fresh.to_bytes(32, "big")))
        return self._decrypt(path)

    def _password(self) -> bytes:
        if self._given is not None:
            return self._given.encode()
        path = self._folder / "password"
        if not path.exists():
            _write_once(path, secrets.token_hex(32).encode() + b"\n")
        return _read(path).strip()

    def _encrypt(self, key: bytes) -> bytes:
        cost = OWN_SECRET_COST if self._given is None else PERSON_COST
        keystore = create_keyfile_json(key, self._password(), kdf="scrypt", iterations=cost)
        keystore["address"] = PrivateKey(key).public_key.to_address().removeprefix("0x")
        return json.dumps(keystore, sort_keys=True).encode() + b"\n"

    def _decrypt(self, path: Path) -> PrivateKey:
        try:
            keystore = json.loads(_read(path))
            if keystore["crypto"]["kdfparams"]["n"] > PERSON_COST:
                raise ValueError("its key derivation is too costly")
            key = PrivateKey(decode_keyfile_json(keystore, self._password()))
        except KeyUnusable:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            raise KeyUnusable(
                f"the key {path.name} cannot be opened: {error}",
                "The password is wrong or the file is damaged. Restore it from a backup.",
            ) from error
        return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise KeyUnusable(
            f"{path.name} cannot be read: {error.strerror}", "Check the folder of the keys."
        ) from error


def _write_once(path: Path, data: bytes) -> None:
    """Write the file durably, all or nothing; one that another process wrote meanwhile stays as it is."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_folder(path.parent)

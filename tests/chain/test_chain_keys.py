"""Keystores: created once, private, unlocked only by their password."""

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from foedus.chain import KeyRing
from foedus.core.errors import KeyUnusable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    address = KeyRing(folder).address_of("alice")
    assert address.startswith("0x")
    assert KeyRing(folder).address_of("alice") == address
    assert KeyRing(folder).address_of("bob") != address
    assert sorted(path.name for path in folder.iterdir()) == ["alice.json", "bob.json", "password"]
    assert all(mode(path) == 0o600 for path in folder.iterdir())
    assert mode(folder) == 0o700


def test_the_keystore_is_the_wallets_format(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    address = ring.address_of("alice")
    keystore = json.loads((tmp_path / "alice.json").read_text())
    assert keystore["version"] == 3
    assert keystore["crypto"]["kdf"] == "scrypt"
    assert "0x" + keystore["address"] == address.lower()
    assert ring.private_key("alice").to_hex()[2:] not in (tmp_path / "alice.json").read_text()


def test_own_secrets_open_fast(tmp_path: Path) -> None:
    KeyRing(tmp_path).address_of("first")
    start = time.process_time()
    for i in range(10):
        KeyRing(tmp_path).address_of(f"c{i}")
    assert (time.process_time() - start) / 10 < 0.06  # making and opening one; 0.02 on an idle machine


@pytest.mark.slow
def test_a_person_s_password_is_needed_and_costly(tmp_path: Path) -> None:
    address = KeyRing(tmp_path, "correct horse").address_of("alice")
    assert not (tmp_path / "password").exists()
    assert json.loads((tmp_path / "alice.json").read_text())["crypto"]["kdfparams"]["n"] >= 2**18
    assert KeyRing(tmp_path, "correct horse").address_of("alice") == address
    with pytest.raises(KeyUnusable, match=r"alice\.json") as caught:
        KeyRing(tmp_path, "battery staple").address_of("alice")
    assert "password" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text.replace('"version": 3', '"version": 9'),
        lambda text: text.replace('"ciphertext": "', '"ciphertext": "00'),
        lambda text: text.replace('"n": 1024', '"n": 1073741824'),
        lambda text: text.replace('"n": 1024', '"n": "x"'),
    ],
)
def test_damaged_keystores_are_named(tmp_path: Path, damage: Callable[[str], str]) -> None:
    KeyRing(tmp_path).address_of("alice")
    path = tmp_path / "alice.json"
    changed = damage(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(KeyUnusable, match=r"alice\.json"):
        KeyRing(tmp_path).address_of("alice")


def test_a_lost_password_is_told(tmp_path: Path) -> None:
    KeyRing(tmp_path).address_of("alice")
    (tmp_path / "password").write_text("something else")
    with pytest.raises(KeyUnusable):
        KeyRing(tmp_path).address_of("alice")


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "alice.json").mkdir()
    with pytest.raises(KeyUnusable, match="cannot be read"):
        KeyRing(tmp_path).address_of("alice")


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "a/b", "../a", "A", "ä", "a b", "-a", "_a", "a" * 65, "a\n", "a.json", "password\0"],
)
def test_bad_account_names_touch_no_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "keys"
    with pytest.raises(KeyUnusable, match="not an account name"):
        KeyRing(folder).address_of(name)
    assert not folder.exists()


def test_two_makers_end_with_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process writes the keystore between our look and our write: theirs stays."""
    other = KeyRing(tmp_path / "other")
    theirs = other.address_of("alice")
    ring = KeyRing(tmp_path / "other")
    real = ring._encrypt

    def write_meanwhile(key: bytes) -> bytes:
        keystore = real(key)
        (tmp_path / "other" / "hidden").rename(tmp_path / "other" / "alice.json")
        return keystore

    (tmp_path / "other" / "alice.json").rename(tmp_path / "other" / "hidden")
    monkeypatch.setattr(ring, "_encrypt", write_meanwhile)
    assert ring.address_of("alice") == theirs

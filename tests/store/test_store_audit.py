import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_helpers import MIB, flip, object_path

from foedus.core.ids import Cid
from foedus.store import DirectoryStore, Finding, verify_all


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def test_a_good_store_has_no_findings(store: DirectoryStore) -> None:
    assert verify_all(store) == []
    for size in (0, 10, 2 * MIB + 1):
        store.put(bytes(size))
    store.put(b"unpinned", pin=False)
    assert verify_all(store) == []


def test_a_put_in_progress_is_no_finding(store: DirectoryStore) -> None:
    def produce() -> Iterator[bytes]:
        assert os.listdir(store.root / "tmp")
        assert verify_all(store) == []
        yield b"x"

    store.put(produce())


def test_damage_is_found(store: DirectoryStore) -> None:
    cids = [store.put(bytes([number]) * 100) for number in range(3)]
    flip(object_path(store, cids[1]), 100)
    [finding] = verify_all(store)
    assert finding.path == f"objects/{cids[1][-2:]}/{cids[1]}.car"
    assert "damaged" in finding.problem


def test_a_missing_pinned_object_is_found(store: DirectoryStore) -> None:
    cid = store.put(b"x")
    object_path(store, cid).unlink()
    assert verify_all(store) == [Finding(f"pins/{cid}", f"objects/{cid[-2:]}/{cid}.car is missing")]


def test_whatever_does_not_belong_is_found(store: DirectoryStore) -> None:
    cid = store.put(b"x")
    other = "zz" if cid[-2:] != "zz" else "aa"
    (store.root / "notes").write_text("x")
    (store.root / "tmp" / "notes").write_text("x")
    (store.root / "objects" / "file").write_text("x")
    (store.root / "objects" / other).mkdir()
    object_path(store, cid).rename(store.root / "objects" / other / f"{cid}.car")
    object_path(store, cid).symlink_to(store.root / "notes")
    (store.root / "objects" / other / cid).write_text("x")
    (store.root / "pins" / "nonsense").write_text("")
    (store.root / "pins" / cid).write_text("x")
    found = {finding.path: finding.problem for finding in verify_all(store)}
    assert found == {
        "notes": "does not belong here",
        "tmp/notes": "does not belong here",
        "objects/file": "is not a folder",
        f"objects/{cid[-2:]}/{cid}.car": "is not a regular file",
        f"objects/{other}/{cid}.car": "does not belong here",
        f"objects/{other}/{cid}": "does not belong here",
        "pins/nonsense": "does not belong here",
        f"pins/{cid}": "is not an empty file",
    }


def test_an_object_collected_meanwhile_is_no_finding(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = store.put(b"x", pin=False)

    def verify(cid: Cid) -> None:
        store.gc()
        DirectoryStore.verify(store, cid)

    monkeypatch.setattr(store, "verify", verify)
    assert verify_all(store) == []
    assert not store.has(cid)


def test_an_object_unpinned_meanwhile_is_no_finding(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(b"x")

    def has(cid: Cid) -> bool:
        store.unpin(cid)
        store.gc()
        return False

    monkeypatch.setattr(store, "has", has)
    assert verify_all(store) == []

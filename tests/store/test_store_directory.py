import errno
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_helpers import MIB, object_path

from foedus.core.errors import ObjectDamaged, ObjectMissing, StorageFull
from foedus.store.audit import verify_all
from foedus.store.directory import DirectoryStore
from shared import missing


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def temp_files(store: DirectoryStore) -> list[str]:
    return os.listdir(store.root / "tmp")


def test_an_object_is_one_file_named_by_its_cid(store: DirectoryStore) -> None:
    cid = store.put(b"hello world")
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert {path.relative_to(store.root).as_posix() for path in files} == {
        f"objects/{cid[-2:]}/{cid}.car",
        f"pins/{cid}",
        "lock",
    }
    assert object_path(store, cid).stat().st_size == 59 + 37 + 11


def test_a_new_store_is_closed_to_others(store: DirectoryStore) -> None:
    assert store.root.stat().st_mode & 0o777 == 0o700


def test_sizes_and_listing(store: DirectoryStore) -> None:
    sizes = {store.put(bytes(size)): size for size in (0, 5, MIB + 1)}
    assert store.ls() == sorted(sizes)
    assert {cid: store.size(cid) for cid in sizes} == sizes


def test_gc_takes_what_is_not_pinned(store: DirectoryStore) -> None:
    kept, unpinned, never = store.put(b"a"), store.put(b"b"), store.put(b"c", pin=False)
    store.unpin(unpinned)
    assert [store.pinned(cid) for cid in (kept, unpinned, never)] == [True, False, False]
    assert store.gc() == sorted([unpinned, never])
    (store.root / "objects" / kept[-2:] / "stranger").write_text("x")
    assert store.ls() == [kept]
    assert store.gc() == []


def test_pinning_keeps(store: DirectoryStore) -> None:
    cid = store.put(b"c", pin=False)
    store.pin(cid)
    assert store.gc() == []


def test_open_readers_survive_gc(store: DirectoryStore) -> None:
    cid = store.put(bytes(2 * MIB), pin=False)
    with store.open(cid) as stream:
        assert store.gc() == [cid]
        assert stream.read() == bytes(2 * MIB)
    assert not store.has(cid)


def test_links_are_not_followed(store: DirectoryStore, tmp_path: Path) -> None:
    cid, other = store.put(b"hello world"), store.put(b"other")
    shutil.move(object_path(store, cid), tmp_path / "elsewhere.car")
    object_path(store, cid).symlink_to(tmp_path / "elsewhere.car")
    shutil.move(object_path(store, other).parent, tmp_path / "shard")
    object_path(store, other).parent.symlink_to(tmp_path / "shard")
    for name in (cid, other):
        assert not store.has(name)
        with pytest.raises(ObjectMissing):
            store.get(name)
    assert store.ls() == []


def test_a_pipe_does_not_hang_the_reader(store: DirectoryStore) -> None:
    cid = store.put(b"hello world")
    object_path(store, cid).unlink()
    os.mkfifo(object_path(store, cid))
    with pytest.raises(ObjectMissing):
        store.get(cid)


def test_a_swapped_file_is_damaged(store: DirectoryStore) -> None:
    one, two = store.put(b"one"), store.put(b"two")
    shutil.copyfile(object_path(store, one), object_path(store, two))
    for action in (store.get, store.verify, store.size):
        with pytest.raises(ObjectDamaged):
            action(two)


def test_readers_need_no_write_access(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = store.put(b"hello world")
    (store.root / "tmp" / "abandoned.part").write_bytes(b"x")
    real = os.open

    def read_only(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "read-only file system")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    reader = DirectoryStore(store.root)
    assert reader.get(cid) == b"hello world"
    assert reader.ls() == [cid]
    assert verify_all(reader) == []


def test_many_writers_of_the_same_and_of_other_objects(store: DirectoryStore) -> None:
    contents = [bytes([number % 5]) * (MIB + number % 5) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        cids = list(pool.map(lambda data: DirectoryStore(store.root).put(data), contents))
    assert store.ls() == sorted(set(cids))
    assert [store.get(cid) for cid in cids] == contents
    assert temp_files(store) == []


def test_gc_beside_writers_takes_nothing_pinned(store: DirectoryStore) -> None:
    ended = threading.Event()

    def collect() -> None:
        while not ended.is_set():
            DirectoryStore(store.root).gc()

    with ThreadPoolExecutor(3) as pool:
        collector = pool.submit(collect)
        cids = list(pool.map(store.put, [bytes([number]) * 1000 for number in range(40)]))
        ended.set()
        collector.result()
    assert store.ls() == sorted(cids)


def test_abandoned_temp_files_are_removed_on_open(store: DirectoryStore) -> None:
    host = next_temp_name(store).split("-")[0]
    for name in (f"{host}-dead.part", "foreign-old.part", "foreign-new.part", "notes.txt"):
        (store.root / "tmp" / name).write_bytes(b"x")
    os.utime(store.root / "tmp" / "foreign-old.part", (0, 0))
    os.mkfifo(store.root / "tmp" / "pipe.part")
    DirectoryStore(store.root)
    assert sorted(temp_files(store)) == ["foreign-new.part", "notes.txt", "pipe.part"]


def test_temp_files_being_written_stay(store: DirectoryStore) -> None:
    name = next_temp_name(store, then=lambda: DirectoryStore(store.root))
    assert name.endswith(".part")
    assert store.ls() != []


def next_temp_name(store: DirectoryStore, then: Callable[[], object] = lambda: None) -> str:
    """Put something and return the name of the temp file seen on the way."""
    seen: list[str] = []

    def produce() -> Iterator[bytes]:
        seen.extend(temp_files(store))
        for name in seen:
            os.utime(store.root / "tmp" / name, (0, 0))
        then()
        yield b"x"

    store.put(produce())
    return seen[0]


def test_a_temp_file_lost_to_a_cleaner_is_made_again(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    calls: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            for name in temp_files(store):
                os.unlink(store.root / "tmp" / name)
        lock(descriptor, operation)

    monkeypatch.setattr("foedus.store._files.fcntl.flock", flock)
    assert store.get(store.put(b"x")) == b"x"


DURABLE_CALLS = ("write", "fsync", "rename", "mkdir", "open")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("function", DURABLE_CALLS)
def test_a_full_disk_at_any_call_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    for failing in range(1000):
        store = DirectoryStore(tmp_path / str(failing))
        with monkeypatch.context() as patch:
            fail_call(patch, function, failing, code)
            outcome = put_outcome(store)
        if outcome == "stored":
            assert failing > 0
            return
        assert "bytes are free" in outcome
        assert (temp_files(store), store.ls(), os.listdir(store.root / "pins")) == ([], [], [])
        assert store.get(store.put(b"small")) == b"small"


def put_outcome(store: DirectoryStore) -> str:
    try:
        store.put(bytes(MIB + 10))
    except StorageFull as error:
        return error.message
    return "stored"


def test_other_errors_are_not_called_full(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail_call(patch, "fsync", 0, errno.EIO)
        with pytest.raises(OSError, match="injected"):
            store.put(b"x")
    assert temp_files(store) == []


def test_a_full_disk_keeps_the_copy_that_was_there(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = store.put(b"x")
    with monkeypatch.context() as patch:
        fail_call(patch, "fsync", 2, errno.ENOSPC)  # the pin's, after the rename
        with pytest.raises(StorageFull):
            store.put(b"x")
    assert store.get(cid) == b"x"


def fail_call(patch: pytest.MonkeyPatch, function: str, failing: int, code: int) -> None:
    """Let the call number `failing` of `os.<function>` fail, and no other."""
    real = getattr(os, function)
    count = iter(range(1_000_000))

    def call(*args: object, **kwargs: object) -> object:
        if next(count) == failing:
            raise OSError(code, "injected")
        return real(*args, **kwargs)

    patch.setattr(os, function, call)


@pytest.mark.slow
def test_a_really_full_file_system(tmp_path: Path) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    (tmp_path / "small").mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", "size=4m", "none", str(tmp_path / "small")]
    if os.geteuid() or not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        missing("the right to mount a small file system")
    try:
        store = DirectoryStore(tmp_path / "small" / "store")
        cid = store.put(bytes(2 * MIB))
        with pytest.raises(StorageFull, match="bytes are free"):
            store.put(bytes(range(256)) * 4 * 4096)
        assert store.ls() == [cid]
        assert temp_files(store) == []
        assert store.get(store.put(b"small")) == b"small"
    finally:
        subprocess.run([str(umount), str(tmp_path / "small")], check=True)

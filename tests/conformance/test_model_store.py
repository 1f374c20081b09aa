"""What every `ModelStore` must do. A new backend adds itself to `BACKENDS`."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foedus.core.errors import FoedusError, ObjectDamaged, ObjectMissing
from foedus.core.ids import Cid
from foedus.core.protocols import ModelStore
from foedus.store import DirectoryStore, cid_of

MIB = 1 << 20
HELLO = Cid("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
HOSTILE = ["", "../../etc/passwd", HELLO.upper(), HELLO + "/..", "x" * 5000, "\x00", HELLO[:-1] + "f"]


@dataclass(frozen=True)
class Backend:
    make: Callable[[Path], ModelStore]
    damage: Callable[[Path, Cid], None]  # change one byte of the stored content behind the store's back


def damage_directory(root: Path, cid: Cid) -> None:
    path = root / "objects" / cid[-2:] / f"{cid}.car"
    data = bytearray(path.read_bytes())
    data[120] ^= 1
    path.write_bytes(data)


BACKENDS = {"directory": Backend(DirectoryStore, damage_directory)}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture
def store(backend: Backend, tmp_path: Path) -> ModelStore:
    return backend.make(tmp_path / "store")


def test_put_names_content_by_its_unixfs_cid(store: ModelStore) -> None:
    assert store.put(b"hello world") == HELLO


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
def test_what_was_put_is_got(store: ModelStore, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    cid = store.put(data)
    assert cid == cid_of(data)
    assert store.has(cid)
    assert store.get(cid) == data


def test_put_takes_any_buffers(store: ModelStore) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    parts = [b"a", bytearray(b"bc"), memoryview(array), b"", memoryview(np.empty((0, 3)))]
    assert store.get(store.put(iter(parts))) == b"abc" + array.tobytes()
    assert store.put(memoryview(b"hello world")) == HELLO
    assert store.put(bytearray(b"hello world")) == HELLO


def test_cutting_into_buffers_does_not_matter(store: ModelStore) -> None:
    data = bytes(range(256)) * 9000
    cuts = [0, 1, 1000, MIB, MIB + 3, len(data)]
    parts = [data[start:end] for start, end in pairwise(cuts)]
    assert store.put(parts) == store.put(data)


def test_put_is_idempotent(store: ModelStore) -> None:
    assert store.put(b"hello world") == store.put(b"hello world")
    assert store.get(HELLO) == b"hello world"


def test_missing_objects_are_said_to_be_missing(store: ModelStore) -> None:
    assert not store.has(HELLO)
    for action in (store.get, store.open, store.pin):
        with pytest.raises(ObjectMissing):
            action(HELLO)
    store.unpin(HELLO)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_missing_objects(store: ModelStore, text: str) -> None:
    store.put(b"hello world")
    cid = Cid(text)
    assert not store.has(cid)
    for action in (store.get, store.open, store.pin):
        with pytest.raises(ObjectMissing):
            action(cid)
    store.unpin(cid)


def test_unpinning_twice_is_harmless(store: ModelStore) -> None:
    cid = store.put(b"hello world")
    store.unpin(cid)
    store.unpin(cid)
    store.pin(cid)
    store.pin(cid)
    assert store.get(cid) == b"hello world"


@pytest.mark.parametrize("size", [100, 2 * MIB])
def test_damaged_bytes_are_never_returned(
    backend: Backend, store: ModelStore, tmp_path: Path, size: int
) -> None:
    cid = store.put(bytes(size))
    backend.damage(tmp_path / "store", cid)
    assert store.has(cid)
    with pytest.raises(ObjectDamaged):
        store.get(cid)
    with pytest.raises(ObjectDamaged):
        store.open(cid).read()


def test_putting_again_heals_a_damaged_copy(backend: Backend, store: ModelStore, tmp_path: Path) -> None:
    cid = store.put(bytes(100))
    backend.damage(tmp_path / "store", cid)
    assert store.put(bytes(100)) == cid
    assert store.get(cid) == bytes(100)


def test_another_store_on_the_same_place_sees_the_objects(
    backend: Backend, store: ModelStore, tmp_path: Path
) -> None:
    store.put(b"hello world")
    assert backend.make(tmp_path / "store").get(HELLO) == b"hello world"


@given(st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(0, 2 * MIB)), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_streams_behave_like_files(store: ModelStore, reads: list[tuple[int, int]]) -> None:
    data = np.random.default_rng(1).bytes(2 * MIB + 500_000)
    expected = io.BytesIO(data)
    with store.open(store.put(data)) as stream:
        assert stream.seekable()
        assert stream.seek(0, 2) == len(data)
        for position, count in reads:
            assert stream.seek(position) == expected.seek(position)
            assert stream.read(count) == expected.read(count)
            assert stream.tell() == expected.tell()
        stream.seek(MIB - 1)
        assert stream.read() == data[MIB - 1 :]


def test_a_failing_producer_leaves_nothing(store: ModelStore) -> None:
    def produce() -> Iterator[bytes]:
        yield bytes(MIB)
        raise FoedusError("the source is gone")

    with pytest.raises(FoedusError, match="gone"):
        store.put(produce())
    assert not store.has(cid_of(bytes(MIB)))

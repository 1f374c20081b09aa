import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_helpers import TINY, check_tiny, flip, read_tiny, write_tiny

from foedus.core.errors import FoedusError, ObjectDamaged
from foedus.store.car import open_car
from foedus.store.layout import MAX_OBJECT_BYTES, shape_of, shape_of_car
from foedus.store.unixfs import UNIXFS_V1_2025

# Sizes around every change of shape: one leaf, one node, one full node, two levels, three levels.
SIZES = [0, 1, 15, 16, 17, 47, 48, 49, 100, 144, 145, 160, 200, 432, 433, 500]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def content(size: int) -> bytes:
    return bytes(7 * position % 251 for position in range(size))


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(tmp_path: Path, size: int) -> None:
    cid = write_tiny(tmp_path / "x.car", content(size))
    check_tiny(tmp_path / "x.car", cid)
    assert read_tiny(tmp_path / "x.car", cid) == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_length_of_the_file_follows_from_the_size(tmp_path: Path, size: int) -> None:
    write_tiny(tmp_path / "x.car", content(size))
    length = (tmp_path / "x.car").stat().st_size
    assert shape_of_car(length, TINY) == shape_of(size, TINY)


@given(st.integers(0, MAX_OBJECT_BYTES))
@pytest.mark.slow
def test_every_size_has_its_own_length(size: int) -> None:
    shape = shape_of(size)
    assert shape_of_car(59 + shape.car_bytes) == shape
    assert shape.height <= 4


def test_impossible_lengths_have_no_shape() -> None:
    longest = 59 + shape_of(MAX_OBJECT_BYTES).car_bytes
    for length in (0, 58, 59, 59 + 36, longest + 1, 1 << 62):
        with pytest.raises(ValueError, match="no object"):
            shape_of_car(length)


def test_the_header_is_a_carv1_header(tmp_path: Path) -> None:
    cid = write_tiny(tmp_path / "x.car", b"hello")
    data = (tmp_path / "x.car").read_bytes()
    assert data[:14] == b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
    assert data[50:59] == b"\x67version\x01"
    assert data[14:50] == data[60:96]  # the root, and the CID of the one block
    assert data[59] == 36 + 5
    assert data[96:] == b"hello"
    assert cid.startswith("bafkrei")


@pytest.mark.parametrize("size", [0, 5, 50])
@pytest.mark.slow
def test_every_changed_byte_is_found(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.car"
    cid = write_tiny(path, content(size))
    for position in range(path.stat().st_size):
        mask = 1 << position % 8
        flip(path, position, mask)
        with pytest.raises(ObjectDamaged):
            check_tiny(path, cid)
        flip(path, position, mask)
    check_tiny(path, cid)


@pytest.mark.parametrize("size", [0, 5, 50])
@pytest.mark.slow
def test_every_missing_or_extra_byte_is_found(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.car"
    cid = write_tiny(path, content(size))
    good = path.read_bytes()
    damaged = [good[:position] + good[position + 1 :] for position in range(len(good))]
    damaged += [good[:length] for length in range(len(good))]
    damaged += [good[:position] + b"\x00" + good[position:] for position in range(len(good) + 1)]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ObjectDamaged):
            check_tiny(path, cid)


@given(st.binary(max_size=600), st.data())
@in_one_folder
@pytest.mark.slow
def test_ranges_are_those_of_the_content(tmp_path: Path, data: bytes, draw: st.DataObject) -> None:
    cid = write_tiny(tmp_path / "x.car", data)
    expected = io.BytesIO(data)
    with open_car(os.open(tmp_path / "x.car", os.O_RDONLY), cid, TINY) as stream:
        raw = stream.raw  # type: ignore[attr-defined]  # past the buffer, which would hide the small tree
        for _ in range(5):
            position, count = draw.draw(st.integers(0, 650)), draw.draw(st.integers(0, 650))
            assert raw.seek(position) == expected.seek(position)
            out = bytearray(count)
            assert out[: raw.readinto(out)] == expected.read(count)
            assert raw.tell() == expected.tell()


@given(st.binary(max_size=700), st.binary(max_size=120))
@in_one_folder
@pytest.mark.slow
def test_garbage_raises_only_our_errors(tmp_path: Path, garbage: bytes, data: bytes) -> None:
    path = tmp_path / "x.car"
    cid = write_tiny(path, data)
    good = path.read_bytes()
    for bad in (garbage, good[:59] + garbage, good[: len(good) // 2] + garbage):
        path.write_bytes(bad)
        if bad != good:
            with pytest.raises(FoedusError):
                check_tiny(path, cid)


def test_seek_knows_the_three_origins(tmp_path: Path) -> None:
    cid = write_tiny(tmp_path / "x.car", content(100))
    with open_car(os.open(tmp_path / "x.car", os.O_RDONLY), cid, TINY) as stream:
        assert stream.seekable()
        assert stream.seek(-10, os.SEEK_END) == 90
        assert stream.read(4) == content(100)[90:94]
        assert stream.seek(2, os.SEEK_CUR) == 96
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)
        assert stream.raw.readall() == content(100)[stream.raw.tell() :]  # type: ignore[attr-defined]


def test_damage_outside_the_range_read_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.car"
    cid = write_tiny(path, content(40))
    flip(path, 59 + 37 + 3)  # in the first leaf
    with open_car(os.open(path, os.O_RDONLY), cid, TINY) as stream:
        stream.raw.seek(16)  # type: ignore[attr-defined]
        assert stream.raw.read(16) == content(40)[16:32]  # type: ignore[attr-defined]
        stream.raw.seek(0)  # type: ignore[attr-defined]
        with pytest.raises(ObjectDamaged, match="hash"):
            stream.raw.read(1)  # type: ignore[attr-defined]


def test_a_tree_of_another_profile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.car"
    cid = write_tiny(path, content(100))
    with pytest.raises(ObjectDamaged, match="damaged"):
        open_car(os.open(path, os.O_RDONLY), cid, UNIXFS_V1_2025)

"""Writing files for the user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foedus.client.files import write_whole
from foedus.core.errors import FoedusError, ObjectDamaged


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    assert write_whole(tmp_path / "out", [b"ab", b"c"]) == 3
    assert (tmp_path / "out").read_bytes() == b"abc"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_existing_file_stays_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")

    with pytest.raises(FoedusError, match="exists already; nothing was written"):
        write_whole(tmp_path / "out", [b"new"])
    assert (tmp_path / "out").read_bytes() == b"mine"

    write_whole(tmp_path / "out", [b"new"], force=True)
    assert (tmp_path / "out").read_bytes() == b"new"


def test_damage_found_on_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"good"
        raise ObjectDamaged("the second block is damaged")

    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(ObjectDamaged):
        write_whole(tmp_path / "out", chunks(), force=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", b"mine")]


def test_folders_that_are_missing_or_in_the_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(FoedusError, match="is a folder"):
        write_whole(tmp_path, [b""], force=True)
    with pytest.raises(FoedusError, match="there is no folder"):
        write_whole(tmp_path / "no" / "out", [b""])
    with pytest.raises(FoedusError, match="cannot write to"):
        write_whole(Path("/proc/foedus-test"), [b""])

"""The home folder: one process at a time, files whole or not at all."""

import errno
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from foedus.core.errors import FoedusError, HomeInUse, InvalidSpec, StorageFull
from foedus.rounds.home import Home, full_disk_told, read_json, write_json
from foedus.rounds.outbox import Outbox

HOLD = """
import sys
from contextlib import closing
from pathlib import Path
from foedus.rounds.home import Home
with Home(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_has_the_home(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HomeInUse, match=f"process {holder.pid} is working"), Home(tmp_path).locked():
            pass
        holder.communicate("")
    with Home(tmp_path).locked():
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FoedusError, match="cannot use the home folder"),
        Home(tmp_path / "file" / "x").locked(),
    ):
        pass


def test_runs_are_numbered_and_listed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.run_names() == []
    for expected in ("a-1", "a-2", "b-1"):
        folder = home.new_run_folder(expected[0])
        assert folder.name == expected
        write_json(folder / "spec.json", {})
    assert sorted(home.run_names()) == ["a-1", "a-2", "b-1"]
    assert home.run_folder("a-2") == tmp_path / "runs" / "a-2"


@pytest.mark.parametrize("name", ["c-1", "../a-1", "", "a-0", "a"])
def test_an_unknown_run_names_the_known(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path)
    write_json(home.runs / "a-1" / "spec.json", {})
    with pytest.raises(InvalidSpec, match="Runs here: a-1"):
        home.run_folder(name)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text("{")
    with pytest.raises(FoedusError, match=r"cannot read .*file.json"):
        read_json(tmp_path / "file.json")


def test_the_outbox_remembers_what_was_planned(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.plan(["1/1/1/ann/register", "1/1/1/bob/register"])
    outbox.settle("1/1/1/ann/register", "done", "0x12")
    outbox.close()
    again = Outbox(tmp_path / "outbox.sqlite")
    assert [effect.key for effect in again.pending()] == ["1/1/1/bob/register"]
    again.close()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota"), OSError(errno.EIO, "broken")]
)
def test_a_full_disk_is_told_as_such(tmp_path: Path, error: OSError) -> None:
    expected = OSError if error.errno == errno.EIO else StorageFull
    with pytest.raises(expected), full_disk_told(tmp_path):
        raise error


def test_a_full_database_is_told_as_such(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "small.sqlite")) as database:
        database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(StorageFull, match="nothing is lost"), full_disk_told(tmp_path):
            database.execute("CREATE TABLE t AS SELECT randomblob(100000)")
        with pytest.raises(sqlite3.OperationalError), full_disk_told(tmp_path):
            database.execute("SELECT nonsense")


def test_a_damaged_outbox_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"damage" * 1000)
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.plan(["1/1/1/ann/register"])
    assert len(outbox.pending()) == 1
    outbox.close()


def test_names_that_the_chain_knows_are_not_given_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.new_run_folder("a", ["a-7", "b-9", "a-x", "strange"]).name == "a-8"


def test_a_copied_run_folder_is_no_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("a-1", "a-backup"):
        write_json(home.runs / name / "spec.json", {})
    assert home.run_names() == ["a-1"]
    assert home.new_run_folder("a").name == "a-2"

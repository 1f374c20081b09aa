"""What is private stays so: place and rows of datasets are nowhere but where their owner put them."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_tools import TINY, call, start, write_spec

pytestmark = pytest.mark.slow

PLACE, FILE = "clinic-7731", "rows-4242.npz"
WAITS = """
name = "SIM_WAIT"
title = "Reads, then waits"
command = ["/bin/sh", "-c", 'test -s "$1" || exit 9; test -e "$FOEDUS_HOME/again" || { : > ready; exec sleep 60; }', "sh", "{data}"]
[[parameters]]
name = "data"
kind = "dataset"
help = "private rows"
"""  # noqa: E501 - TOML knows no other way


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with the private dataset `mine`; what programs read for a while is below `scratch`."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    source = tmp_path / PLACE / FILE
    source.parent.mkdir()
    images = np.random.default_rng(99).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.savez(source, images=images, labels=np.arange(60) % 10)
    arguments = ("--kind", "arrays", "--name", "mine", "--home", tmp_path / "home")
    assert call("dataset", "register", source, *arguments).exit_code == 0
    return tmp_path / "home"


def leaks(home: Path) -> set[str]:
    """Return what in a folder holds the place of the data, the name of their file, or one of their rows."""
    with np.load(home.parent / PLACE / FILE) as arrays:
        rows = [image.tobytes()[:64] for image in arrays["images"]]
    private = [PLACE.encode(), FILE.partition(".")[0].encode(), *rows]
    return {
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in private)
    }


def holds_rows(place: Path) -> bool:
    return any(path.suffix == ".npz" for path in place.rglob("*"))


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def predict(home: Path) -> "subprocess.Popen[str]":
    return start(
        "model", "predict", "tiny-1", "--dataset", "mine", "-n", "50", "--home", home, "--format", "json"
    )


def test_a_prediction_by_the_model_of_a_run_leaves_place_and_rows_to_their_owner(
    tmp_path: Path, home: Path
) -> None:
    assert call("run", write_spec(tmp_path, TINY), "--home", home).exit_code == 0

    code, out, err = ended(predict(home))

    assert code == 0, err
    done: dict[str, Any] = json.loads(out)
    assert done["result"]["examples"] == 50
    assert 0 <= done["result"]["scores"]["accuracy"] <= 1
    assert len((Path(done["output"]) / "predictions.csv").read_text().splitlines()) == 51
    assert leaks(home) == {"datasets/mine.json"}
    readable = {path.name for path in (home, *home.rglob("*")) if path.lstat().st_mode & 0o077}
    assert readable == set()


def test_data_that_do_not_suit_the_model_are_told_before_anything_is_submitted(
    tmp_path: Path, home: Path
) -> None:
    assert call("run", write_spec(tmp_path, TINY), "--home", home).exit_code == 0
    source = tmp_path / PLACE / FILE
    small = ("--kind", "arrays", "--name", "small", "--step", "resize height=14 width=14", "--home", home)
    assert call("dataset", "register", source, *small).exit_code == 0

    result = call("model", "predict", "tiny-1", "--dataset", "small", "--home", home)

    assert result.exit_code != 0
    assert "uint8 of shape (14, 14), the model wants (1, 28, 28)" in result.stderr
    assert 'with --step "resize height=28 width=28"' in result.stderr
    assert not (home / "jobs").exists()


@pytest.mark.parametrize("harm", ["gone", "changed", "nowhere"])
def test_no_failure_tells_the_place(tmp_path: Path, home: Path, harm: str) -> None:
    assert call("run", write_spec(tmp_path, TINY), "--home", home).exit_code == 0
    metadata = home / "datasets" / "mine.json"
    if harm == "gone":
        (tmp_path / PLACE / FILE).rename(tmp_path / "elsewhere.npz")
    elif harm == "changed":
        (tmp_path / PLACE / FILE).write_bytes(b"PK")
    else:  # the system refuses to look for a name this long, and says so with the path
        value = json.loads(metadata.read_text())
        metadata.write_text(json.dumps(value | {"path": f"{value['path']}-{'x' * 300}"}))

    code, out, err = ended(predict(home))

    assert code != 0
    assert "the data of dataset 'mine'" in err
    assert PLACE not in out + err
    private = PLACE.encode()
    found = [path.name for path in home.rglob("*") if path.is_file() and private in path.read_bytes()]
    assert found == ["mine.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_rows_outlive_a_program_that_was_killed(
    tmp_path: Path, home: Path, number: signal.Signals
) -> None:
    (home / "applications").mkdir()
    (home / "applications" / "waits.toml").write_text(WAITS)
    process = start("app", "submit", "SIM_WAIT", "-p", "data=mine", "--home", home)
    ready = home / "jobs" / "sim_wait-1" / "output" / "ready"
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert holds_rows(tmp_path / "scratch")

    os.kill(process.pid, number)
    ended(process)
    assert leaks(home) == {"datasets/mine.json"}
    deadline = time.monotonic() + 10  # after a SIGKILL it takes a moment
    while any((tmp_path / "scratch").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    (home / "again").touch()
    code, _, err = ended(start("app", "resume", "sim_wait-1", "--home", home))
    assert code == 0, err
    assert not holds_rows(tmp_path / "scratch")
    assert leaks(home) == {"datasets/mine.json"}

"""What a program is given of private data: where it lies, and that it is gone however the attempt ends."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from apps_tools import make_job, run_here
from datasets_tools import npz_file, random_images

from foedus.apps.datasets.loading import register
from foedus.apps.datasets.recipe import parse_step
from foedus.core.errors import TaskFailed
from foedus.launch import JobFolder
from foedus.rounds.home import Home

SH = "/bin/sh"
ROW = random_images(40)[7].tobytes()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process and its children."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def job(home: Path, *command: str, **more: object) -> JobFolder:
    """Make a job whose parameter `data` is a private dataset, and whose program is the command."""
    if not (home / "datasets").exists():
        register(Home(home), "mine", "arrays", npz_file(home / "secret-place.npz"))
    return make_job(home, "SIM_X", {"data": "mine"}, command=command, datasets=("data",), **more)


def holds_rows(place: Path) -> bool:
    return any(path.is_file() and ROW in path.read_bytes() for path in place.rglob("*"))


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_dataset_comes_as_a_file_with_its_recipe_applied(tmp_path: Path, scratch: Path) -> None:
    place = npz_file(tmp_path / "secret-place.npz")
    register(Home(tmp_path), "mine", "arrays", place, [parse_step("resize height=2 width=2")])
    script = (
        "import sys, shutil, os; shutil.copy(sys.argv[1], 'seen.npz');"
        "shutil.copy(os.environ['FOEDUS_PARAMETERS'], 'seen.json')"
    )
    folder = job(tmp_path, sys.executable, "-c", script, "{data}")

    run_here(folder)

    output = folder.path / "output"
    with np.load(output / "seen.npz", allow_pickle=False) as seen:
        assert seen["values"].shape == (40, 2, 2)
        assert seen["labels"].tolist() == [n % 4 for n in range(40)]
        assert sorted(set(seen["parts"].tolist())) == [0, 1, 2]
    assert json.loads((output / "seen.json").read_text())["data"].endswith("/data.npz")
    assert "secret-place" not in "".join(p.read_text() for p in folder.path.glob("*.json"))


def test_rows_lie_outside_of_the_job_folder_for_their_owner_alone(tmp_path: Path, scratch: Path) -> None:
    folder = job(tmp_path, SH, "-c", 'dirname "$1" > place; stat -c %a "$1" "$(dirname "$1")" > modes; '
                 'grep -lr "$1" "$FOEDUS_JOB_FOLDER" > told; exit 0', "sh", "{data}")  # fmt: skip
    umask = os.umask(0)
    try:
        run_here(folder)
    finally:
        os.umask(umask)
    output = folder.path / "output"
    assert Path((output / "place").read_text().strip()).parent == scratch
    assert (output / "modes").read_text().split() == ["600", "700"]
    assert not (output / "told").read_text()


@pytest.mark.parametrize("code", [0, 3])
def test_what_the_program_was_given_to_read_is_gone_afterwards(
    tmp_path: Path, scratch: Path, code: int
) -> None:
    folder = job(tmp_path, SH, "-c", f'test -f "$FOEDUS_PARAMETERS" && exit {code}', "sh", "{data}")
    if code:
        with pytest.raises(TaskFailed, match="exit code 3"):
            run_here(folder)
    else:
        run_here(folder)
    assert not any(scratch.iterdir())
    assert not os.path.lexists(folder.path / "inputs")


WAITING = 'test -e "$FOEDUS_HOME/again" || { : > ready; exec sleep 60; }'


@pytest.mark.slow
def test_rows_that_a_killed_attempt_left_are_removed_by_the_next(tmp_path: Path, scratch: Path) -> None:
    folder = job(tmp_path, SH, "-c", WAITING, "sh", "{data}")
    first, second = (JobFolder(folder.path, f"attempt-01.0{n}") for n in range(2))
    first.claim()
    program = "import sys; from foedus.apps.entry import *; run_job(JobFolder(*sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", program, folder.path, "attempt-01.00"], process_group=0)
    wait_until((first.outputs / "output" / "ready").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not holds_rows(folder.path)
    assert holds_rows(scratch)

    (tmp_path / "again").touch()
    second.claim()
    run_here(second)

    assert not any(scratch.iterdir())


@pytest.mark.slow
def test_no_rows_are_left_when_a_task_is_killed_in_its_batch_job(tmp_path: Path, scratch: Path) -> None:
    folder = job(tmp_path, SH, "-c", f"echo $PPID > parent; {WAITING}", "sh", "{data}")
    command = [
        sys.executable,
        "-m",
        "foedus.launch.inside",
        "foedus.apps.entry:run_job",
        str(folder.path),
        "1",
    ]
    batch_job = subprocess.Popen([*command, "--scratch", str(scratch)])
    output = folder.path / "attempt-01.00" / "output"
    wait_until((output / "ready").exists)
    assert holds_rows(scratch)

    os.kill(int((output / "parent").read_text()), signal.SIGKILL)

    assert batch_job.wait(60) == 128 + signal.SIGKILL
    assert not holds_rows(tmp_path / "jobs")
    assert not any(scratch.iterdir())


def test_a_link_to_something_else_removes_nothing(tmp_path: Path, scratch: Path) -> None:
    folder = job(tmp_path, SH, "-c", "exit 0")
    (tmp_path / "other").mkdir()
    (folder.path / "inputs").symlink_to(tmp_path / "other")
    run_here(folder)
    assert (tmp_path / "other").is_dir()
    assert not stat.S_ISLNK((tmp_path / "other").lstat().st_mode)

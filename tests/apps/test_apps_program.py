"""A third party's program inside a batch job: what it is given, how it reports, how it ends."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from apps_tools import make_job, run_here
from datasets_tools import npz_file

from foedus.apps.datasets.loading import register
from foedus.apps.datasets.recipe import parse_step
from foedus.core.errors import Interrupted, TaskFailed
from foedus.launch import JobFolder
from foedus.rounds.home import Home

SH = "/bin/sh"


def job(home: Path, *command: str, **parameters: object) -> JobFolder:
    return make_job(home, "SIM_X", parameters, command=command, keeps_checkpoints=True)  # type: ignore[arg-type]


def test_a_program_gets_its_parameters_as_arguments_and_as_json(tmp_path: Path) -> None:
    script = 'printf "%s|" "$@" > args; cp "$FOEDUS_PARAMETERS" seen.json'
    folder = job(tmp_path, SH, "-c", script, "sh", "--feed={F}", "{text}", F=0.25, text="a b; $(id)", on=True)

    result = run_here(folder)

    output = folder.path / "output"
    assert (output / "args").read_text() == "--feed=0.25|a b; $(id)|"
    assert json.loads((output / "seen.json").read_text()) == {"F": 0.25, "text": "a b; $(id)", "on": True}
    assert result["files"] == 2


def test_a_program_knows_where_it_may_write(tmp_path: Path) -> None:
    folder = job(
        tmp_path, SH, "-c", 'pwd > where; env | grep ^FOEDUS_ > env; test "$1" = "$PWD"', "sh", "{output}"
    )

    run_here(folder)

    output = folder.path / "output"
    assert (output / "where").read_text().strip() == str(output)
    said = dict(line.split("=", 1) for line in (output / "env").read_text().splitlines())
    assert said["FOEDUS_JOB_FOLDER"] == str(folder.path)
    assert said["FOEDUS_OUTPUT"] == str(output)
    assert said["FOEDUS_HOME"] == str(tmp_path)
    assert "FOEDUS_OUTPUT_BEFORE" not in said


def test_what_a_program_says_of_its_outcome_is_in_the_result(tmp_path: Path) -> None:
    folder = job(tmp_path, SH, "-c", """echo '{"speed": 1.5, "kind": "spots"}' > result.json""")
    assert run_here(folder)["values"] == {"speed": 1.5, "kind": "spots"}


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"a": NaN}', ""])
def test_an_outcome_that_is_no_json_object_is_left_out(tmp_path: Path, text: str) -> None:
    folder = job(tmp_path, SH, "-c", 'printf %s "$1" > result.json', "sh", text)
    assert run_here(folder)["values"] == {}


def test_events_in_any_json_come_out_canonical(tmp_path: Path) -> None:
    line = r"""echo '{"total": 3,   "done": 1}' >> "$FOEDUS_EVENTS"; echo oops >> "$FOEDUS_EVENTS" """
    folder = job(tmp_path, SH, "-c", line)

    run_here(folder)

    assert folder.read_events()[0] == [{"done": 1, "total": 3}]


def test_a_failure_tells_the_exit_code_and_the_last_lines(tmp_path: Path) -> None:
    folder = job(tmp_path, SH, "-c", "exit 3")
    folder.path.joinpath("out.log").write_text("step 1\nno licence for the solver\n")

    with pytest.raises(TaskFailed, match="ended with exit code 3; its last lines:\nstep 1\nno licence"):
        run_here(folder)
    assert folder.read_result() is None


def test_a_signal_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="was ended by the signal Segmentation fault"):
        run_here(job(tmp_path, SH, "-c", "kill -SEGV $$"))


@pytest.mark.parametrize("program", ["/nowhere/sim", "no-such-program-here"])
def test_a_missing_program_is_told_by_name(tmp_path: Path, program: str) -> None:
    with pytest.raises(TaskFailed, match=f"the program '{program}' cannot be started") as caught:
        run_here(job(tmp_path, program))
    assert "compute nodes" in caught.value.hint


def test_a_program_that_may_not_be_executed_is_told(tmp_path: Path) -> None:
    (tmp_path / "sim").write_text("#!/bin/sh\n")
    with pytest.raises(TaskFailed, match="cannot be started on this machine: Permission denied"):
        run_here(job(tmp_path, str(tmp_path / "sim")))


def test_code_75_asks_for_another_attempt_which_sees_what_was_saved(tmp_path: Path) -> None:
    go_on, save = 'cat "$FOEDUS_OUTPUT_BEFORE/state" > all', "echo half > state; exit 75"
    script = f'if test "$FOEDUS_OUTPUT_BEFORE"; then {go_on}; else {save}; fi'
    folder = job(tmp_path, SH, "-c", script)
    first, second = (JobFolder(folder.path, f"attempt-01.0{n}") for n in range(2))

    first.claim()
    with pytest.raises(Interrupted):
        run_here(first)
    second.claim()
    run_here(second)
    folder.adopt("attempt-01.01")

    assert (folder.path / "output" / "all").read_text() == "half\n"
    assert folder.read_result() is not None


def test_code_75_of_a_program_without_checkpoints_is_a_failure(tmp_path: Path) -> None:
    folder = make_job(tmp_path, "SIM_X", {}, command=(SH, "-c", "exit 75"))
    with pytest.raises(TaskFailed, match="exit code 75"):
        run_here(folder)


@pytest.mark.slow
def test_the_warning_reaches_the_program(tmp_path: Path) -> None:
    script = "trap 'echo saved > state; exit 75' USR1; : > ready; while :; do sleep 0.05; done"
    folder = job(tmp_path, SH, "-c", script)

    def warn() -> None:
        deadline = time.monotonic() + 30
        while not (folder.path / "output" / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=warn)
    thread.start()
    with pytest.raises(Interrupted):
        run_here(folder)
    thread.join()

    assert (folder.path / "output" / "state").read_text() == "saved\n"


def test_what_the_program_was_given_to_read_is_gone_afterwards(tmp_path: Path) -> None:
    folder = job(tmp_path, SH, "-c", 'test -f "$FOEDUS_PARAMETERS"')
    run_here(folder)
    assert not (folder.path / "inputs").exists()


def test_a_dataset_comes_as_a_file_with_its_recipe_applied(tmp_path: Path) -> None:
    place = npz_file(tmp_path / "secret-place.npz")
    register(Home(tmp_path), "mine", "arrays", place, [parse_step("resize height=2 width=2")])
    script = (
        "import sys, shutil, os; shutil.copy(sys.argv[1], 'seen.npz');"
        "shutil.copy(os.environ['FOEDUS_PARAMETERS'], 'seen.json')"
    )
    command = (sys.executable, "-c", script, "{data}")
    folder = make_job(tmp_path, "SIM_X", {"data": "mine"}, command=command, datasets=("data",))

    run_here(folder)

    output = folder.path / "output"
    with np.load(output / "seen.npz", allow_pickle=False) as seen:
        assert seen["values"].shape == (40, 2, 2)
        assert seen["labels"].tolist() == [n % 4 for n in range(40)]
        assert sorted(set(seen["parts"].tolist())) == [0, 1, 2]
    assert json.loads((output / "seen.json").read_text())["data"].endswith("/inputs/data.npz")
    assert not list(folder.path.rglob("data.npz"))  # what it was given is gone
    assert "secret-place" not in "".join(p.read_text() for p in folder.path.glob("*.json"))

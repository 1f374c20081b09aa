"""A third party's program inside a batch job: what it is given, how it reports, how it ends."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps_tools import make_job, run_here

from foedus.core.errors import Interrupted, TaskFailed
from foedus.launch import JobFolder

SH = "/bin/sh"
LOG = '"$FOEDUS_JOB_FOLDER/out.log"'


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


def test_an_outcome_may_be_as_large_as_a_curve(tmp_path: Path) -> None:
    (tmp_path / "curve.json").write_text(json.dumps({"curve": list(range(50_000))}))
    folder = job(tmp_path, "/bin/cp", str(tmp_path / "curve.json"), "result.json")
    assert run_here(folder)["values"] == {"curve": list(range(50_000))}


@pytest.fixture
def usual_depth() -> Iterator[None]:
    """Let Python nest as deep as it does by itself: some libraries of other tests let it go deeper."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "it is no JSON object"),
        ("{", "Expecting property name"),
        ('{"best": 1.5, "worst": NaN}', "not JSON compliant"),
        ("", "Expecting value"),
        ('{"a": ' + "[" * 5000, "it is nested too deeply"),
        (" " * (1 << 20) + "{}", "it is larger than 1,048,576 bytes"),
    ],
)
def test_an_outcome_that_is_left_out_is_told_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, words: str, usual_depth: None
) -> None:
    (tmp_path / "said").write_text(text)
    folder = job(tmp_path, "/bin/cp", str(tmp_path / "said"), "result.json")
    assert run_here(folder)["values"] == {}
    log = capfd.readouterr().out  # in a batch job: the log
    assert "The program's result.json is not part of the result" in log
    assert words in log


def test_events_in_any_json_come_out_canonical(tmp_path: Path) -> None:
    line = r"""echo '{"total": 3,   "done": 1}' >> "$FOEDUS_EVENTS"; echo oops >> "$FOEDUS_EVENTS" """
    folder = job(tmp_path, SH, "-c", line)

    run_here(folder)

    assert folder.read_events()[0] == [{"done": 1, "total": 3}]


@pytest.mark.parametrize(
    "made",
    [
        """printf '{"a": [%s1e9]}\\n' "$(yes 1e9, | head -n 8000 | tr -d '\\n')" >> "$FOEDUS_EVENTS" """,
        'mkdir "$FOEDUS_EVENTS"',
        'mkfifo "$FOEDUS_EVENTS"',
        'ln -s /dev/zero "$FOEDUS_EVENTS"',
    ],
)
def test_progress_that_cannot_be_read_or_told_harms_nothing(tmp_path: Path, made: str) -> None:
    folder = job(tmp_path, SH, "-c", made)
    assert run_here(folder)["files"] == 0
    assert folder.read_events()[0] == []


def test_of_many_events_the_newest_is_told(tmp_path: Path) -> None:
    lines = [json.dumps({"done": number, "what": "x" * 60}) for number in range(20_000)]
    (tmp_path / "events").write_text("\n".join([*lines, "half a li"]))
    folder = job(tmp_path, SH, "-c", 'cp "$FOEDUS_HOME/events" "$FOEDUS_EVENTS"')
    run_here(folder)
    assert [event["done"] for event in folder.read_events()[0]][-1] == 19_999


def test_a_failure_tells_the_exit_code_and_the_last_lines(tmp_path: Path) -> None:
    says = f"printf 'step 1\\nno licence for the solver\\n' >> {LOG}; exit 3"
    folder = job(tmp_path, SH, "-c", says)

    with pytest.raises(TaskFailed, match="ended with exit code 3; its last lines:\nstep 1\nno licence"):
        run_here(folder)
    assert folder.read_result() is None


def test_a_failure_repeats_nothing_of_earlier_attempts(tmp_path: Path) -> None:
    folder = job(tmp_path, SH, "-c", f"echo this time >> {LOG}; exit 3")
    (folder.path / "out.log").write_text("line of an earlier attempt\n" * 20_000)
    with pytest.raises(TaskFailed) as caught:
        run_here(folder)
    assert caught.value.message.endswith("; its last lines:\nthis time")

    silent = job(tmp_path, SH, "-c", "exit 3")
    with pytest.raises(TaskFailed, match="and wrote nothing to its log"):
        run_here(silent)


def test_what_a_python_program_printed_is_there_when_it_is_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dies = "import os; print('step 7'); os.kill(os.getpid(), 9)"
    with pytest.raises(TaskFailed, match="signal Killed"):
        run_here(job(tmp_path, sys.executable, "-c", dies))
    assert capfd.readouterr().out == "step 7\n"  # in a batch job: the log


def test_a_buffer_that_somebody_asked_for_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "")
    folder = job(tmp_path, SH, "-c", 'test -z "$PYTHONUNBUFFERED"')
    assert run_here(folder)["files"] == 0


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


@pytest.mark.parametrize("harm", ["nothing", "half"])
def test_a_later_attempt_that_died_early_hides_no_checkpoint(tmp_path: Path, harm: str) -> None:
    script = (
        'if test "$FOEDUS_OUTPUT_BEFORE"; then cp "$FOEDUS_OUTPUT_BEFORE/step" .; '
        "else echo 500 > step; exit 75; fi"
    )
    folder = job(tmp_path, SH, "-c", script)
    saved, died, last = (JobFolder(folder.path, f"attempt-01.0{n}") for n in range(3))
    saved.claim()
    with pytest.raises(Interrupted) as caught:
        run_here(saved)
    saved.fail(caught.value)
    died.claim()
    output = died.make_output()
    if harm == "half":
        (output / "step").write_text("5")  # it was killed amid writing

    last.claim()
    run_here(last)

    assert (last.outputs / "output" / "step").read_text() == "500\n"


def test_without_a_checkpoint_the_newest_output_with_files_is_shown(tmp_path: Path) -> None:
    folder = job(tmp_path, SH, "-c", 'cat "$FOEDUS_OUTPUT_BEFORE/part" > seen')
    older, newer, empty, last = (JobFolder(folder.path, f"attempt-01.0{n}") for n in range(4))
    for attempt, text in ((older, "1"), (newer, "2"), (empty, "")):
        attempt.claim()
        if text:
            (attempt.make_output() / "part").write_text(text)
    last.claim()
    run_here(last)
    assert (last.outputs / "output" / "seen").read_text() == "2"


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

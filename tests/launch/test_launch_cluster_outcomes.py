"""What a batch job's end means: a result in its folder counts, and nothing else ever completes it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cluster_tools import Cluster, ends, finishes, tree

from foedus.core.records import JobState
from foedus.launch import JobFolder


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# --- a result counts ---


def says(cluster: Cluster, what: str) -> None:
    match what:
        case "down":
            cluster.scheduler.is_down = True
        case "forgot":
            cluster.scheduler.forget(cluster.name())
        case _:
            cluster.say(JobState(what), cause="whatever it says", is_passing=what == "failed")


@pytest.mark.parametrize("is_later", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "what", ["queued", "running", "completed", "failed", "cancelled", "lost", "unknown", "down", "forgot"]
)
def test_a_result_counts_whatever_the_scheduler_says(cluster: Cluster, what: str, is_later: bool) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    if not is_later:
        finishes(attempt)
    says(cluster, what)
    if is_later:
        if what in ("queued", "running", "unknown", "down", "forgot"):
            assert not cluster.after_look(native_id).state.is_final
        finishes(attempt)
    status = cluster.status(native_id)
    assert (status.state, status.cause, status.attempt) == (JobState.COMPLETED, "", 1)
    assert cluster.folder().read_result() == {"words": "done"}
    assert cluster.folder().read_status() is not None
    assert cluster.folder().read_status()["state"] == "completed"  # type: ignore[index]


@pytest.mark.parametrize("what", ["running", "completed", "failed", "cancelled", "unknown", "down", "forgot"])
def test_without_a_result_nothing_is_completed(cluster: Cluster, what: str) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    attempt.write_update([b"all there"])
    (attempt.make_output() / "result.json").write_text("{}\n")
    ends(attempt, code=0)
    says(cluster, what)
    for _ in range(5):
        cluster.look_if_asked()
        assert cluster.status(native_id).state is not JobState.COMPLETED


def test_what_ended_well_without_a_result_has_failed_once_its_files_cannot_come_any_more(
    cluster: Cluster,
) -> None:
    native_id = cluster.submit()
    cluster.say(JobState.COMPLETED)
    began = cluster.clock.now
    while not (status := cluster.after_look(native_id)).state.is_final:
        assert (status.state, status.cause) == (
            JobState.RUNNING,
            "it has ended; waiting for its last files",
        )
    assert cluster.clock.now - began == pytest.approx(cluster.times.settle_s, abs=2.5)
    assert (status.state, status.cause) == (JobState.FAILED, "the batch job ended without a result")


def test_files_that_a_shared_file_system_shows_late_count(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.say(JobState.COMPLETED)
    assert cluster.after_look(native_id, 4).state is JobState.RUNNING
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED


def test_each_submission_is_waited_for_afresh(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.say(JobState.COMPLETED)
    cluster.look(5)
    cluster.say(JobState.FAILED, cause="its node failed", is_passing=True)
    cluster.look()
    cluster.attempt(number=1)
    cluster.say(JobState.COMPLETED)
    assert cluster.after_look(native_id, 8).state is JobState.RUNNING


def test_a_start_that_failed_tells_the_end_of_its_log(cluster: Cluster) -> None:
    native_id = cluster.submit()
    lines = [*(f"line {number}" for number in range(100)), "\x1b[31mmodule: command not found"]
    (cluster.folder().path / "batch.log").write_text("\n".join(lines))
    cluster.say(JobState.FAILED, ended="exited with code 127")
    status = cluster.after_look(native_id)
    assert status.cause == (
        "exited with code 127; its log ends:\nline 96\nline 97\nline 98\nline 99\n"
        "\ufffd[31mmodule: command not found"
    )


# --- causes ---


@pytest.mark.parametrize(
    ("report", "cause"),
    [
        ({"code": 0}, "the task ended without a result"),
        ({"code": 42}, "exited with code 42"),
        ({"signal": 11}, "killed by signal 11 (segmentation fault)"),
        ({"signal": 15}, "killed by signal 15"),
        ({"signal": 9, "peak_mb": 50}, "killed by signal 9 (out of memory?)"),
        (
            {"signal": 9, "peak_mb": 95},
            "out of memory: it used 95 of 100 MB; killed by signal 9 (out of memory?)",
        ),
        ({"signal": 11, "peak_mb": 95}, "killed by signal 11 (segmentation fault)"),
        ({"is_out_of_time": True, "signal": 9}, "time limit of 60 s reached"),
        ({"is_out_of_time": "yes", "code": 1}, "exited with code 1"),
    ],
)
@pytest.mark.parametrize("what", ["failed", "completed", "forgot"])
def test_the_supervisor_knows_best_how_a_task_ended(
    cluster: Cluster, report: dict[str, int], cause: str, what: str
) -> None:
    native_id = cluster.submit(memory_mb=100)
    ends(cluster.attempt(), **report)
    if what == "forgot":
        cluster.scheduler.forget(cluster.name())
    else:
        cluster.say(JobState(what))
    status = cluster.after_look(native_id)
    assert (status.state, status.cause) == (JobState.FAILED, cause)


def test_what_the_scheduler_knows_comes_before_what_the_supervisor_saw(cluster: Cluster) -> None:
    native_id = cluster.submit()
    ends(cluster.attempt(), signal=9)
    cluster.say(JobState.FAILED, cause="out of memory")
    assert cluster.after_look(native_id).cause == "out of memory; killed by signal 9 (out of memory?)"


def test_what_a_task_raised_is_told_at_once_and_kept_for_readers(cluster: Cluster) -> None:
    native_id = cluster.submit()
    failure = cluster.attempt().fail(ValueError("no \x1b good"))
    status = cluster.status(native_id)
    assert (status.state, status.cause) == (JobState.FAILED, "ValueError: no \ufffd good")
    assert cluster.folder().read_failure() == failure


def test_causes_are_short_and_harm_no_terminal(cluster: Cluster) -> None:
    native_id = cluster.submit()
    (cluster.folder().path / "out.log").write_bytes(b"\x1b]0;owned\x07\xff" + b"x" * 100_000)
    (cluster.folder().path / "batch.log").write_bytes(b"\x1b[2J" + b"y" * 100_000)
    cluster.say(JobState.FAILED, cause="\x1b[31m" + "z" * 100_000, ended="\x07")
    status = cluster.after_look(native_id)
    assert status.state is JobState.FAILED
    assert len(status.cause) < 10_000
    assert all(character.isprintable() or character in "\n\t" for character in status.cause)
    noted = cluster.folder().read_status()
    assert noted is not None
    assert noted["cause"] == status.cause


# --- hostile files ---


RESULTS = {
    "empty": b"",
    "torn": b'{"words":',
    "no object": b"[]\n",
    "not canonical": b'{"a": 1}\n',
    "twice": b'{"a":1,"a":1}\n',
    "nan": b'{"a":NaN}\n',
    "nested": b"[" * 100_000,
    "number": b'{"a":' + b"9" * 5000 + b"}\n",
}


@pytest.mark.parametrize("text", RESULTS.values(), ids=RESULTS)
def test_a_damaged_result_fails_in_words(cluster: Cluster, text: bytes) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    (attempt.outputs / "result.json").write_bytes(text)
    status = cluster.status(native_id)
    assert status.state is JobState.FAILED
    assert status.cause.startswith("the task's result is not usable: ")
    assert not cluster.folder().has_result()
    assert cluster.resubmit().state is JobState.QUEUED  # done afresh, for it was told
    finishes(cluster.attempt(number=1))
    assert cluster.status(native_id).state is JobState.COMPLETED


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "endless"])
def test_a_result_must_be_a_plain_file(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    native_id = cluster.submit()
    (tmp_path / "real").write_bytes(b'{"words":"from elsewhere"}\n')
    path = cluster.attempt().outputs / "result.json"
    makers = {"link": lambda p: p.symlink_to(tmp_path / "real"), "fifo": os.mkfifo, "folder": Path.mkdir}
    if kind == "endless":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        makers[kind](path)
    assert cluster.status(native_id).state is JobState.FAILED


def test_an_attempt_that_is_a_link_brings_no_result(cluster: Cluster, tmp_path: Path) -> None:
    native_id = cluster.submit()
    elsewhere = JobFolder(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    finishes(elsewhere)
    (cluster.folder().path / "attempt-00.00").symlink_to(elsewhere.path)
    (cluster.folder().path / "attempt-99.99").write_text("")
    cluster.say(JobState.RUNNING)
    assert cluster.after_look(native_id).state is JobState.RUNNING
    assert elsewhere.read_result() == {"words": "done"}


@pytest.mark.parametrize("name", ["exit.json", "failure.json", "status.json", "batch.log", "out.log"])
@pytest.mark.parametrize("text", RESULTS.values(), ids=RESULTS)
def test_damaged_notes_do_no_harm(cluster: Cluster, name: str, text: bytes) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    place = attempt.outputs if name in ("exit.json", "failure.json") else attempt.path
    (place / name).write_bytes(text)
    cluster.say(JobState.RUNNING)
    assert cluster.after_look(native_id).state is JobState.RUNNING
    cluster.say(JobState.FAILED, cause="it failed")
    status = cluster.after_look(native_id)
    assert status.state is JobState.FAILED
    assert status.cause.startswith("it failed")


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"code": "42", "signal": [], "peak_mb": None},
        {"code": -1, "signal": -9, "peak_mb": -1},
        {"code": True, "signal": False},
        {"code": 10**40, "signal": 10**40, "peak_mb": 10**40},
        {"is_out_of_time": 1},
    ],
)
def test_hostile_reports_fail_in_words(cluster: Cluster, report: dict[str, object]) -> None:
    native_id = cluster.submit(memory_mb=100)
    cluster.attempt().write_exit(report)  # type: ignore[arg-type]
    cluster.say(JobState.FAILED)
    status = cluster.after_look(native_id)
    assert status.state is JobState.FAILED
    assert status.cause


@pytest.mark.parametrize(
    "changes", [{"message": {"a": 1}}, {"kind": None}, {"message": "x" * 60_000}, {"hint": "\x00\x1b[2J"}]
)
def test_hostile_failures_fail_in_words(cluster: Cluster, changes: dict[str, object]) -> None:
    native_id = cluster.submit()
    values = {"kind": "K", "message": "m", "hint": "", "traceback": ""} | changes
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    (cluster.attempt().outputs / "failure.json").write_text(text)
    status = cluster.status(native_id)
    assert status.state is JobState.FAILED
    assert "\x1b" not in status.cause
    assert len(status.cause) < 10_000
    assert cluster.folder().read_status() is not None


# --- folders that cannot be used any more ---


def test_a_result_that_cannot_be_taken_over_fails_in_words_until_it_can(cluster: Cluster) -> None:
    native_id = cluster.submit()
    (cluster.folder().path / "update.safetensors").mkdir()
    finishes(cluster.attempt())
    status = cluster.status(native_id)
    assert status.state is JobState.FAILED
    assert status.cause.startswith("its result cannot be taken over: ")
    (cluster.folder().path / "update.safetensors").rmdir()
    assert cluster.resubmit().state is JobState.COMPLETED
    assert (cluster.folder().path / "update.safetensors").read_text() == "done"
    assert len(cluster.scheduler.submissions) == 1


def test_a_result_that_was_removed_is_made_again(cluster: Cluster) -> None:
    native_id = cluster.submit()
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED
    (cluster.folder().path / "result.json").unlink()
    assert cluster.resubmit().state is JobState.QUEUED
    assert cluster.scheduler.submissions == [f"{native_id}-0", f"{native_id}-1"]


def test_folders_that_are_taken_away_harm_no_other_job(cluster: Cluster) -> None:
    names = ["running", "done", "failed", "gone from the scheduler", "lost node", "bystander"]
    ids = {name: cluster.submit(name) for name in names}
    for name in names[:5]:
        cluster.attempt(name=name)
    cluster.say(JobState.RUNNING, "running")
    cluster.say(JobState.COMPLETED, "done")
    cluster.say(JobState.FAILED, "failed")
    cluster.scheduler.forget(cluster.name("gone from the scheduler"))
    cluster.say(JobState.FAILED, "lost node", is_passing=True, cause="its node failed")
    for name in names[:5]:
        shutil.rmtree(cluster.folder(name).path)
    cluster.look(15)
    states = {name: cluster.status(native_id).state for name, native_id in ids.items()}
    assert states == {
        "running": JobState.RUNNING,
        "done": JobState.FAILED,
        "failed": JobState.FAILED,
        "gone from the scheduler": JobState.UNKNOWN,
        "lost node": JobState.FAILED,
        "bystander": JobState.QUEUED,
    }
    cluster.launcher.cancel(ids["running"])
    assert cluster.after_look(ids["running"]).state is JobState.CANCELLED
    finishes(cluster.attempt(name="bystander"))
    assert cluster.status(ids["bystander"]).state is JobState.COMPLETED
    assert set(tree(cluster.root / "bystander")) >= {"result.json", "output/file"}

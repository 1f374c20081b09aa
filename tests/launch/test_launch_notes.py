"""What launchers note in a job folder for whoever looks."""

import json
import os
from pathlib import Path

import pytest
from launch_helpers import Jobs, processes_at

from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path)


def noted(folder: JobFolder) -> tuple[object, object, bool]:
    status = folder.read_status() or {}
    return status.get("state"), status.get("cause"), folder.is_held()


def test_a_status_is_read_as_it_was_written(folder: JobFolder) -> None:
    assert folder.read_status() is None
    folder.write_status(JobStatus(NativeId("n"), JobState.QUEUED, "waiting", "7", "PENDING", 2))
    found = dict(folder.read_status() or {})
    assert list(found.pop("times")) == ["queued"]
    assert found == {
        "native_id": "n",
        "state": "queued",
        "cause": "waiting",
        "scheduler_id": "7",
        "scheduler_state": "PENDING",
        "attempt": 2,
    }


def test_times_are_those_of_changes(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [JobState.QUEUED, JobState.QUEUED, JobState.RUNNING, JobState.QUEUED, JobState.COMPLETED]
    for clock, state in enumerate(states, 100):
        monkeypatch.setattr("time.time", lambda now=clock: float(now))
        folder.write_status(JobStatus(NativeId("n"), state))
    times = (folder.read_status() or {})["times"]
    assert times == {"queued": 103.0, "running": 102.0, "completed": 104.0}


@pytest.mark.parametrize("text", ["{broken", "[]\n", '{"times":3}\n', '{"a": 1}\n'])
def test_a_damaged_status_is_replaced(folder: JobFolder, text: str) -> None:
    (folder.path / "status.json").write_text(text)
    folder.write_status(JobStatus(NativeId("n"), JobState.RUNNING))
    assert noted(folder) == ("running", "", False)


def test_a_status_that_cannot_be_written_is_no_error(folder: JobFolder) -> None:
    JobFolder(folder.path / "gone").write_status(JobStatus(NativeId("n"), JobState.RUNNING))


def test_what_was_asked_for_is_noted_and_an_endless_time_limit_is_null(folder: JobFolder) -> None:
    folder.begin("key", Resources(cpus=2, walltime_s=float("inf")))
    assert json.loads((folder.path / "job.json").read_text())["resources"]["walltime_s"] is None
    assert folder.read_note()["resources"]["cpus"] == 2


def test_a_new_beginning_forgets_the_state_before(folder: JobFolder) -> None:
    folder.write_status(JobStatus(NativeId("n"), JobState.FAILED))
    folder.begin("key")
    assert folder.read_status() is None


def test_nobody_holds_a_folder_without_a_job_or_through_a_link(folder: JobFolder, tmp_path: Path) -> None:
    assert not folder.is_held()
    os.symlink("/dev/null", tmp_path / "job.json")
    assert not folder.is_held()
    assert folder.hold() is None


def test_a_local_job_tells_that_it_runs_and_how_it_ended(jobs: Jobs) -> None:
    folder = jobs.folder("a", "hang")
    native_id = jobs.submit(folder)
    processes_at(folder)
    jobs.launcher.states([native_id])
    assert noted(folder) == ("running", "", True)
    jobs.launcher.cancel(native_id)
    assert jobs.wait(native_id)[native_id].state is JobState.CANCELLED
    assert noted(folder) == ("cancelled", "cancelled while it ran", False)


def test_a_job_that_is_done_says_so(jobs: Jobs) -> None:
    _, folder = jobs.run("finish")
    assert noted(folder) == ("completed", "", False)

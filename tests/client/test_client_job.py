"""`foedus job`: what job folders tell, and what may be done about it."""

import json
import os
from pathlib import Path

import pytest
from tests.client.client_tools import call

from foedus.client.batch_jobs import batch_jobs, find_batch_job
from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home

TRAIN = "runs/mnist-1/jobs/r00001.1/client-1.train"


def made(home: Path, below: str, **spec: str) -> JobFolder:
    folder = JobFolder(home / below)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    done = made(tmp_path, TRAIN, kind="train")
    done.finish({})
    waiting = made(tmp_path, "jobs/sim-1", application="SIM")
    Journal.new(waiting, "app/sim-1").write(waiting)
    waiting.write_status(
        JobStatus(NativeId("n"), JobState.QUEUED, "waiting for resources", "77", "PENDING (Resources)")
    )
    failed = made(tmp_path, "runs/mnist-1/jobs/prepare", kind="prepare")
    failed.fail(ValueError("no data\nat all"))
    made(tmp_path, "jobs/sim-2", application="SIM")
    (tmp_path / "jobs/sim-2/status.json").write_text("{broken")
    return Home(tmp_path)


def test_all_job_folders_are_found_and_read(home: Home) -> None:
    found = {job.name: (job.application, job.state, job.scheduler_id) for job in batch_jobs(home)}
    assert found == {
        "mnist-1/r00001.1/client-1.train": ("FL_TRAIN", JobState.COMPLETED, ""),
        "mnist-1/prepare": ("FL_PREPARE", JobState.FAILED, ""),
        "sim-1": ("SIM", JobState.QUEUED, "77"),
        "sim-2": ("SIM", JobState.UNKNOWN, ""),
    }


def test_the_beginning_of_a_name_will_do_where_it_is_the_only_one(home: Home) -> None:
    assert find_batch_job(home, "mnist-1/p").name == "mnist-1/prepare"
    with pytest.raises(InvalidSpec, match="any of 2 batch jobs") as caught:
        find_batch_job(home, "sim")
    assert "sim-1, sim-2" in caught.value.hint
    with pytest.raises(InvalidSpec) as caught:
        find_batch_job(home, "mnist-1/prepair")
    assert caught.value.hint == "Did you mean mnist-1/prepare?"


def test_a_result_counts_more_than_what_was_noted(home: Home) -> None:
    folder = JobFolder(home.root / TRAIN)
    folder.write_status(JobStatus(NativeId("n"), JobState.UNKNOWN, "the scheduler does not answer"))
    assert find_batch_job(home, "mnist-1/r").state is JobState.COMPLETED


@pytest.mark.slow
def test_the_commands_print_it(home: Home) -> None:
    listed = json.loads(call("job", "list", "--format", "json", "--home", home.root).stdout)
    assert len(listed) == 4
    queued = call("job", "list", "--state", "queued", "--home", home.root).stdout
    assert "waiting for resources" in queued
    assert "mnist" not in queued
    shown = call("job", "show", "sim-1", "--home", home.root).stdout
    assert "PENDING (Resources)" in shown
    refused = call("job", "list", "--state", "lazy", "--home", home.root)
    assert refused.exit_code == 2
    assert "States: queued" in refused.stderr


@pytest.mark.slow
def test_a_log_obeys_no_terminal(home: Home) -> None:
    log = JobFolder(home.root / TRAIN).open_log()
    os.write(log, b"epoch 1\n\x1b[31mred\xff\n")
    os.close(log)
    assert call("job", "log", "mnist-1/r", "--home", home.root).stdout == "epoch 1\n\ufffd[31mred\ufffd\n"


@pytest.mark.slow
def test_what_cannot_be_cancelled_says_why(home: Home) -> None:
    assert "has ended" in call("job", "cancel", "mnist-1/r", "--home", home.root).stdout
    assert "Ctrl-C" in call("job", "cancel", "sim-2", "--home", home.root).stderr
    assert "FOEDUS_LAUNCHER" in call("job", "cancel", "sim-1", "--home", home.root).stderr

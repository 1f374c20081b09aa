"""`foedus job`: what job folders tell, and what may be done about it."""

import csv
import io
import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.client.client_tools import call, start
from tests.client.slurm_commands import VERSION, commands, slurm_home

from foedus.client.batch_jobs import batch_jobs, find_batch_job
from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home

TRAIN = "runs/mnist-1/jobs/r00001.1/client-1.train"
LIMIT_S = 20.0


def made(home: Path, below: str, **spec: str) -> JobFolder:
    folder = JobFolder(home / below)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    done = made(tmp_path, TRAIN, kind="train", client="client-1")
    done.finish({})
    waiting = made(tmp_path, "jobs/sim-1", application="SIM")
    waiting.begin("app/sim-1", Resources(cpus=2, gpus=1, walltime_s=60))
    Journal.new(waiting, "app/sim-1").write(waiting)
    waiting.write_status(
        JobStatus(
            NativeId(Journal.new(waiting, "app/sim-1").name),
            JobState.QUEUED,
            "waiting for resources",
            "77",
            "PENDING (Resources)",
        )
    )
    failed = made(tmp_path, "runs/mnist-1/jobs/prepare", kind="prepare")
    failed.fail(ValueError("no data\nat all"))
    made(tmp_path, "jobs/sim-2", application="SIM")
    (tmp_path / "jobs/sim-2/status.json").write_text("{broken")
    made(tmp_path, "runs/mnist-1/held/0a1b/0001", affinity="client-2")
    return Home(tmp_path)


def test_all_job_folders_are_found_and_read(home: Home) -> None:
    found = {job.name: (job.application, job.client, job.state, job.scheduler_id) for job in batch_jobs(home)}
    assert found == {
        "mnist-1/r00001.1/client-1.train": ("FL_TRAIN", "client-1", JobState.COMPLETED, ""),
        "mnist-1/prepare": ("FL_PREPARE", "", JobState.FAILED, ""),
        "mnist-1/held/0a1b/0001": ("FL_HOLD", "client-2", JobState.UNKNOWN, ""),
        "sim-1": ("SIM", "", JobState.QUEUED, "77"),
        "sim-2": ("SIM", "", JobState.UNKNOWN, ""),
    }


def test_the_beginning_of_a_name_will_do_where_it_is_the_only_one(home: Home) -> None:
    assert find_batch_job(home, "mnist-1/p").name == "mnist-1/prepare"
    with pytest.raises(InvalidSpec, match="any of 2 batch jobs") as caught:
        find_batch_job(home, "sim")
    assert "sim-1, sim-2" in caught.value.hint
    with pytest.raises(InvalidSpec) as caught:
        find_batch_job(home, "mnist-1/prepair")
    assert caught.value.hint == "Did you mean mnist-1/prepare?"


def test_a_result_counts_more_than_what_was_noted_before(home: Home) -> None:
    folder = JobFolder(home.root / TRAIN)
    folder.write_status(JobStatus(NativeId("n"), JobState.UNKNOWN, "the scheduler does not answer"))
    assert find_batch_job(home, "mnist-1/r").state is JobState.COMPLETED
    (folder.path / "result.json").write_text("{torn")
    assert find_batch_job(home, "mnist-1/r").state is JobState.FAILED


def test_a_local_job_runs_only_while_somebody_holds_it(home: Home) -> None:
    folder = JobFolder(home.root / "jobs/sim-2")
    folder.begin("app/sim-2")
    folder.write_status(JobStatus(NativeId("app/sim-2"), JobState.RUNNING))
    held = folder.hold()
    assert held is not None
    assert find_batch_job(home, "sim-2").state is JobState.RUNNING
    os.close(held)
    lost = find_batch_job(home, "sim-2")
    assert (lost.state, "resume" in lost.cause) == (JobState.LOST, True)


def test_a_job_of_a_cluster_runs_whoever_follows_it(home: Home) -> None:
    folder = JobFolder(home.root / "jobs/sim-1")
    journal = Journal.read(folder)
    assert journal is not None
    folder.write_status(JobStatus(NativeId(journal.name), JobState.RUNNING))
    assert find_batch_job(home, "sim-1").state is JobState.RUNNING
    folder.write_status(JobStatus(NativeId("app/sim-1"), JobState.RUNNING))  # by a local worker, later
    assert not find_batch_job(home, "sim-1").is_on_cluster


def test_times_are_those_that_were_seen(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(home.root / "jobs/sim-2")
    for at, state in ((100.0, JobState.QUEUED), (130.0, JobState.RUNNING), (190.0, JobState.FAILED)):
        monkeypatch.setattr("time.time", lambda at=at: at)
        folder.write_status(JobStatus(NativeId("n"), state))
    job = find_batch_job(home, "sim-2")
    assert (job.queued_s, job.running_s) == (30.0, 60.0)
    folder.write_exit({"seconds": 42.0, "host": "n1"})
    job = find_batch_job(home, "sim-2")
    assert (job.queued_s, job.running_s, job.node) == (30.0, 42.0, "n1")
    assert find_batch_job(home, "mnist-1/prepare").queued_s is None


@pytest.mark.slow
def test_the_commands_print_it(home: Home) -> None:
    listed = json.loads(call("job", "list", "--format", "json", "--home", home.root).stdout)
    assert len(listed) == 5
    queued = call("job", "list", "--state", "queued", "--home", home.root).stdout
    assert "waiting for resources" in queued
    assert "mnist" not in queued
    shown = call("job", "show", "sim-1", "--home", home.root).stdout
    assert "PENDING (Resources)" in shown
    assert "cpus 2, gpus 1, walltime_s 60" in shown
    refused = call("job", "list", "--state", "lazy", "--home", home.root)
    assert refused.exit_code == 2
    assert "States: queued" in refused.stderr


@pytest.mark.slow
def test_a_list_for_spreadsheets_has_one_line_each_and_no_formulas(home: Home) -> None:
    folder = JobFolder(home.root / "jobs/sim-2")
    folder.write_status(JobStatus(NativeId("n"), JobState.FAILED, "=cmd()\n\x1b[31m"))
    text = call("job", "list", "--format", "csv", "--home", home.root).stdout
    rows = {row["batch job"]: row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 5
    assert rows["sim-2"]["cause"] == "'=cmd() \ufffd[31m"
    assert rows["sim-1"]["native id"] == "77"


# --- logs ---


def printed(folder: JobFolder, data: bytes) -> None:
    log = folder.open_log()
    os.write(log, data)
    os.close(log)


@pytest.mark.slow
def test_a_log_obeys_no_terminal(home: Home) -> None:
    printed(JobFolder(home.root / TRAIN), b"epoch 1\n\x1b[31mred\xff\n")
    assert call("job", "log", "mnist-1/r", "--home", home.root).stdout == "epoch 1\n\ufffd[31mred\ufffd\n"


@pytest.mark.slow
def test_without_a_log_what_the_start_script_said_is_printed(home: Home) -> None:
    (home.root / TRAIN / "batch.log").write_text("python: not found\n")
    assert call("job", "log", "mnist-1/r", "--home", home.root).stdout == "python: not found\n"


@pytest.mark.slow
def test_a_log_is_followed_to_the_end_however_long_it_gets(home: Home) -> None:
    folder = JobFolder(home.root / "jobs/sim-1")
    printed(folder, b"x" * (70 << 10) + b"\n")
    with start("job", "log", "-f", "sim-1", "--home", home.root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "x" * ((64 << 10) - 1) + "\n"
        printed(folder, "ü".encode()[:1])
        printed(folder, "ü".encode()[1:] + b"y" * (70 << 10) + b"\n")
        assert process.stdout.readline() == "ü" + "y" * (70 << 10) + "\n"
        printed(folder, b"--- next attempt ---\nlast\n")
        folder.finish({})
        assert process.stdout.read() == "--- next attempt ---\nlast\n"
        assert process.wait(LIMIT_S) == 0


@pytest.mark.slow
def test_ctrl_c_leaves_a_log_quietly(home: Home) -> None:
    printed(JobFolder(home.root / "jobs/sim-1"), b"begun\n")
    with start("job", "log", "-f", "sim-1", "--home", home.root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LIMIT_S) == ("", "")
        assert process.returncode == 130


# --- cancelling ---


@pytest.mark.slow
def test_what_cannot_be_cancelled_says_why(home: Home) -> None:
    assert "has ended" in call("job", "cancel", "mnist-1/r", "--home", home.root).stdout
    assert "Ctrl-C" in call("job", "cancel", "sim-2", "--home", home.root).stderr
    assert "FOEDUS_LAUNCHER" in call("job", "cancel", "sim-1", "--home", home.root).stderr


def slurm(home: Home, folder: Path, states: str) -> Path:
    """Make commands of a Slurm that has job sim-1, in one state until it is cancelled, then in another."""
    journal = Journal.read(JobFolder(home.root / "jobs/sim-1"))
    assert journal is not None
    before, after = (f'echo "77|{state}|None|{journal.full_name}"' for state in states.split())
    mark = folder / "cancelled"
    programs = commands(
        folder,
        squeue=f"if [ -e {mark} ]; then {after}; else {before}; fi",
        scancel=f'echo "$@" > {mark}',
        sbatch=VERSION,
    )
    slurm_home(home.root, programs)
    return mark


@pytest.mark.slow
@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_is_cancelled_by_its_name_whoever_follows_it(home: Home, tmp_path: Path, state: str) -> None:
    mark = slurm(home, tmp_path / "bin", f"{state} CANCELLED")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout == "sim-1 is cancelled\n"
    assert "--name=foedus-" in mark.read_text()
    found = find_batch_job(home, "sim-1")
    assert (found.state, found.cause) == (JobState.CANCELLED, "cancelled by `foedus job cancel`")


@pytest.mark.slow
def test_a_job_that_ended_meanwhile_is_not_called_cancelled(home: Home, tmp_path: Path) -> None:
    slurm(home, tmp_path / "bin", "RUNNING COMPLETED")
    with (tmp_path / "bin/scancel").open("a") as file:
        file.write(f"echo '{{}}' > {home.root / 'jobs/sim-1/result.json'}\n")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout == "sim-1 is completed\n"


@pytest.mark.slow
def test_a_job_that_the_scheduler_does_not_know_is_left_alone(home: Home, tmp_path: Path) -> None:
    slurm_home(home.root, commands(tmp_path / "bin", squeue="exit 0", scancel="exit 0", sbatch=VERSION))
    before = (home.root / "jobs/sim-1/status.json").read_bytes()
    refused = call("job", "cancel", "sim-1", "--home", home.root)
    assert refused.exit_code == 1
    assert "does not know sim-1" in refused.stderr
    assert (home.root / "jobs/sim-1/status.json").read_bytes() == before


@pytest.mark.slow
def test_a_scheduler_that_is_down_is_told_at_once(home: Home, tmp_path: Path) -> None:
    down = "echo 'Unable to contact slurm controller' >&2; exit 1"
    slurm_home(home.root, commands(tmp_path / "bin", squeue=down, scancel=down, sbatch=VERSION))
    began = time.monotonic()
    assert "Unable to contact" in call("job", "cancel", "sim-1", "--home", home.root).stderr
    assert time.monotonic() - began < 5

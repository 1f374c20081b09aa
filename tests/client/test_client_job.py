"""`foedus job`: what job folders tell, and what may be done about it."""

import csv
import io
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.client.client_tools import call, start
from tests.client.job_tools import TRAIN, home_with_jobs, made

from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home
from foedus.site.batch_jobs import batch_jobs, find_batch_job

LIMIT_S = 20.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_jobs(tmp_path)


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
    assert (lost.state, "`foedus app resume sim-2`" in lost.cause) == (JobState.LOST, True)


def test_a_lost_task_of_a_run_is_done_again_with_the_run(home: Home) -> None:
    made(home.root, "runs/mnist-1/jobs/r00002.1/client-1.train", kind="train").write_status(
        JobStatus(NativeId("n"), JobState.RUNNING)
    )
    assert "`foedus resume mnist-1`" in find_batch_job(home, "mnist-1/r00002").cause


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("exit.json", f'{{"host":"n1","seconds":{10**400}}}'),
        ("exit.json", '{"host":[],"seconds":-1e300}'),
        ("exit.json", "[1]"),
        ("status.json", f'{{"attempt":{10**400},"state":"failed","times":{{"failed":{10**400}}}}}'),
        ("status.json", '{"state":[],"times":[]}'),
        ("batch.json", "{}"),
        ("job.json", '{"resources":7}'),
        ("spec.json", '{"application":{},"client":3}'),
        ("failure.json", '{"kind":{}}'),
        ("result.json", "{"),
    ],
)
def test_one_damaged_file_takes_no_other_job_away(home: Home, name: str, content: str) -> None:
    (home.root / "runs/mnist-1/jobs/prepare" / name).write_text(f"{content}\n")
    assert len(json.loads(call("job", "list", "--format", "json", "--home", home.root).stdout)) == 5
    assert call("job", "list", "--home", home.root).exit_code == 0
    assert call("job", "show", "mnist-1/prepare", "--home", home.root).exit_code == 0


@pytest.mark.slow
def test_what_vanishes_meanwhile_takes_no_other_job_away(home: Home) -> None:
    folder, is_over = JobFolder(home.root / TRAIN), threading.Event()

    def change() -> None:
        while not is_over.is_set():
            folder.write_status(JobStatus(NativeId("n"), JobState.RUNNING))
            JobFolder(folder.path, "attempt-00.00").claim()
            (folder.path / "attempt-00.00").rmdir()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            assert {len(batch_jobs(home)) for _ in range(300)} == {5}
        finally:
            is_over.set()
        changing.result()


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


@pytest.mark.slow
def test_batch_jobs_of_a_sweep_can_be_told_apart(home: Home) -> None:
    for number, value in (("3", 0.03), ("4", 0.04)):
        made(
            home.root,
            f"jobs/wave-{number}",
            application="WAVE",
            parameters={"F": value, "steps": 10},
            dataset=f"waves-{number}",
        )
    table = {line.split()[0]: line for line in call("job", "list", "--home", home.root).stdout.splitlines()}
    assert "F = 0.03" in table["wave-3"]
    assert "steps" not in table["wave-3"]
    assert "client-2" in table["mnist-1/held/0a1b/0001"]
    rows = csv.DictReader(io.StringIO(call("job", "list", "--format", "csv", "--home", home.root).stdout))
    found = {row["batch job"]: row for row in rows}
    assert (found["wave-4"]["parameters"], found["wave-4"]["dataset"]) == ('{"F":0.04,"steps":10}', "waves-4")
    shown = call("job", "show", "wave-3", "--home", home.root).stdout
    assert "F = 0.03, steps = 10" in shown
    assert "waves-3" in shown


def test_an_empty_list_says_of_what_there_is_none(home: Home, tmp_path: Path) -> None:
    assert call("job", "list", "--state", "lost", "--home", home.root).stdout == (
        f"no lost batch jobs in {home.root}\n"
    )
    elsewhere = tmp_path / "elsewhere"
    assert "elsewhere, which is not there" in call("job", "list", "--home", elsewhere).stdout
    assert call("job", "list", "--format", "csv", "--home", elsewhere).stdout.startswith("batch job,")
    wrong = call("job", "list", "--run", "mnits-1", "--home", home.root)
    assert (wrong.exit_code, "there is no run 'mnits-1'" in wrong.stderr) == (2, True)


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

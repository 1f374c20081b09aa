"""What goes wrong on clusters, on a real one: right words, one outcome, nothing submitted twice."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.slurm.batch import Batch, batch
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until

from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus

pytestmark = [pytest.mark.slow, GROUP]

LONG_S = 60.0  # so long the controller is down, or munged hangs


@pytest.fixture
def jobs(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Batch]:
    root = slurm.folder / tmp_path.name
    root.mkdir()
    with batch(root) as opened:
        yield opened


# --- how single batch jobs end ---


@pytest.fixture
def ended(slurm: SlurmCluster, jobs: Batch) -> Mapping[str, JobStatus]:
    """How many batch jobs ended that ran side by side."""
    ids = {name: jobs.submit(name, {"do": name}) for name in ("exit 42", "crash", "eat memory")}
    ids["slow"] = jobs.submit("slow", {"do": "sleep"}, walltime_s=5)
    ids["stopped"] = jobs.submit("stopped", {"do": "sleep"})
    ids["shot"] = jobs.submit("shot", {"do": "sleep"})
    ids["unwritable"] = _unwritable(jobs)
    for name in ("stopped", "shot"):
        jobs.wait(ids[name], JobState.RUNNING)
    jobs.cancel(ids["stopped"])
    slurm.command("scancel", jobs.status(ids["shot"]).scheduler_id)
    statuses = {name: jobs.wait(native_id) for name, native_id in ids.items()}
    for native_id in ids.values():
        assert slurm.accepted(jobs.name(native_id)[:-2]) == [jobs.status(native_id).scheduler_id]
        assert jobs.folders[native_id].read_result() is None
    return statuses


def _unwritable(jobs: Batch) -> NativeId:
    """Submit a job whose folder is taken away before it can begin."""
    native_id = jobs.submit("unwritable", {"do": "sleep"}, cpus=1)
    folder = jobs.folders[native_id].path
    folder.rename(folder.with_name("moved away"))
    folder.touch()  # a file where the folder was
    jobs.wait(native_id, limit_s=30)
    folder.unlink()
    folder.with_name("moved away").rename(folder)
    return native_id


def test_each_end_has_its_words_and_none_is_a_success(ended: Mapping[str, JobStatus]) -> None:
    words = {
        "exit 42": (JobState.FAILED, "code 42"),
        "crash": (JobState.FAILED, "segmentation fault"),
        "eat memory": (JobState.FAILED, "out of memory"),
        "slow": (JobState.FAILED, "time limit of 5 s reached"),
        "stopped": (JobState.CANCELLED, "cancelled"),
        "shot": (JobState.CANCELLED, "cancelled by somebody else"),
        "unwritable": (JobState.FAILED, "cannot be written"),
    }
    found = {name: (status.state, status.cause) for name, status in ended.items()}
    assert {n: (s, w if w in found[n][1] else found[n][1]) for n, (s, w) in words.items()} == {
        n: (found[n][0], w) for n, (_, w) in words.items()
    }


def test_waiting_jobs_can_be_cancelled_by_us_and_by_others(slurm: SlurmCluster, jobs: Batch) -> None:
    for number in range(4):
        jobs.submit(f"fills {number}", {"do": "sleep"}, cpus=4)
    ours, theirs = (jobs.submit(name, {"do": "sleep"}, cpus=4) for name in ("ours", "theirs"))
    for waiting in (ours, theirs):
        while "resources" not in (status := jobs.wait(waiting, JobState.QUEUED)).cause:
            assert status.state is JobState.QUEUED
            jobs.status(waiting, 1.0)
    jobs.cancel(ours)
    slurm.command("scancel", jobs.status(theirs).scheduler_id)
    assert (jobs.wait(ours).state, jobs.wait(ours).cause) == (JobState.CANCELLED, "cancelled")
    assert (jobs.wait(theirs).state, jobs.wait(theirs).cause) == (
        JobState.CANCELLED,
        "cancelled by somebody else",
    )


def test_the_fifth_of_five_jobs_with_two_gpus_waits(jobs: Batch) -> None:
    ids = [jobs.submit(f"gpu {n}", {"do": "hold"}, gpus=2, gpu_type="h100") for n in range(5)]
    for native_id in ids[:4]:
        assert jobs.wait(native_id, JobState.RUNNING).state is JobState.RUNNING
    while jobs.status(ids[4], 1.0).cause != "waiting for resources":
        assert jobs.status(ids[4]).state is JobState.QUEUED
    jobs.cancel(ids[0])
    assert jobs.wait(ids[4], JobState.RUNNING).state is JobState.RUNNING
    for native_id in ids[1:]:
        folder = jobs.folders[native_id]
        wait_until(lambda folder=folder: bool(folder.read_events()[0]), 20, "the job's word")
        assert folder.read_events()[0] == [{"gpus": "0,1"}]


# --- nodes ---


def test_a_dead_node_and_a_cut_off_one(slurm: SlurmCluster, jobs: Batch) -> None:
    """On the one everything dies; on the other the old attempt goes on while Slurm starts a new one."""
    dead = jobs.submit("dead", {"do": "count", "to": 100}, cpus=4)
    cut_off = jobs.submit("cut off", {"do": "count", "to": 550}, cpus=4)
    for native_id in (dead, cut_off):
        folder = jobs.folders[native_id].path
        jobs.wait(native_id, JobState.RUNNING)
        wait_until(lambda folder=folder: any(folder.glob("attempt-*/checkpoint*")), 30, "a checkpoint")
    slurm.kill_node(slurm.node_of(jobs.name(dead)), with_steps=True)
    slurm.kill_node(slurm.node_of(jobs.name(cut_off)), with_steps=False)

    rivals = jobs.folders[cut_off]
    wait_until(lambda: _two_attempts_write(jobs, cut_off), 90, "two attempts at once")
    assert len(rivals.attempts()) == 2

    assert jobs.wait(dead).state is JobState.COMPLETED
    result = jobs.result(dead)
    assert (result["number"], result["attempt"], int(result["first"]) > 0) == (100, "attempt-00.01", True)
    assert jobs.status(dead).attempt == 2

    assert jobs.wait(cut_off).state is JobState.COMPLETED
    assert jobs.result(cut_off)["number"] == 550
    for native_id in (dead, cut_off):
        assert slurm.accepted(jobs.name(native_id)) == [jobs.status(native_id).scheduler_id]
    outcome = sorted(os.listdir(rivals.path))
    wait_until(lambda: not slurm.command("squeue", "-h", "-t", "R,CG", "-o", "%i").stdout, 60, "no job left")
    assert [name for name in sorted(os.listdir(rivals.path)) if name not in outcome] == []


def _two_attempts_write(jobs: Batch, native_id: NativeId) -> bool:
    jobs.status(native_id, 0.2)
    folder = jobs.folders[native_id].path
    return len(list(folder.glob("attempt-*/checkpoint*"))) == 2


# --- the scheduler itself ---


def test_the_controller_is_down_for_a_minute(slurm: SlurmCluster, jobs: Batch) -> None:
    runs = jobs.submit("runs", {"do": "count", "to": 20})
    waits = jobs.submit("waits", {"do": "count", "to": 900})
    jobs.wait(runs, JobState.RUNNING)
    jobs.wait(waits, JobState.RUNNING)
    slurm.stop_controller()
    timer = threading.Timer(LONG_S, slurm.start_controller)
    timer.start()
    late = [jobs.submit(f"late {number}", {"do": "count", "to": 1}) for number in range(3)]
    jobs.cancel(waits)
    assert jobs.wait(runs).state is JobState.COMPLETED  # its result is seen without Slurm
    assert {jobs.wait(native_id).state for native_id in late} == {JobState.COMPLETED}
    assert jobs.wait(waits).state is JobState.CANCELLED
    assert any(s.state is JobState.UNKNOWN for s in jobs.seen[late[0]])
    for native_id in (runs, waits, *late):
        assert len(slurm.accepted(jobs.name(native_id))) == 1
    timer.join()


def test_munged_hangs_for_a_minute(slurm: SlurmCluster, jobs: Batch) -> None:
    runs = jobs.submit("runs", {"do": "count", "to": 20})
    folder = jobs.folders[runs].path
    wait_until(lambda: any(folder.glob("attempt-*/checkpoint*")), 30, "a checkpoint")
    slurm.freeze_munge()
    timer = threading.Timer(LONG_S, slurm.thaw_munge)
    timer.start()
    late = [jobs.submit(f"late {number}", {"do": "count", "to": 1}) for number in range(3)]
    assert jobs.wait(runs).state is JobState.COMPLETED
    assert {jobs.wait(native_id).state for native_id in late} == {JobState.COMPLETED}
    for native_id in (runs, *late):
        assert len(slurm.accepted(jobs.name(native_id))) == 1
    timer.join()


def test_an_id_that_another_job_has_now_is_not_ours(slurm: SlurmCluster, jobs: Batch) -> None:
    ours = jobs.submit("ours", {"do": "sleep"})
    number = jobs.wait(ours, JobState.RUNNING).scheduler_id
    slurm.forget_jobs(int(number))
    slurm.wait_idle(4)
    other = slurm.command(
        "sbatch", "--parsable", "-D", str(slurm.folder), "-o", "/dev/null", "--wrap=sleep 30"
    )
    assert other.stdout.strip() == number
    status = jobs.wait(ours)
    assert status.state in (JobState.LOST, JobState.FAILED)
    jobs.cancel(ours)
    assert slurm.command("squeue", "-h", "-j", number, "-o", "%T").stdout.strip() in ("PENDING", "RUNNING")


DIES_AFTER_SBATCH = """
import os, signal, sys
from pathlib import Path
from foedus.launch.slurm import SlurmScheduler
from tests.slurm.batch import batch
submit = SlurmScheduler.submit
def submit_and_die(self, order):
    submit(self, order)
    os.kill(os.getpid(), signal.SIGKILL)
SlurmScheduler.submit = submit_and_die
with batch(Path(sys.argv[1])) as jobs:
    jobs.submit("ours", {"do": "count", "to": 20})
"""


def test_killed_between_sbatch_and_our_own_note(slurm: SlurmCluster, jobs: Batch) -> None:
    script = [sys.executable, "-c", DIES_AFTER_SBATCH, str(jobs.root)]
    died = subprocess.run(script, cwd=Path(__file__).parents[2], check=False)
    assert died.returncode == -signal.SIGKILL
    ours = jobs.submit("ours", {"do": "count", "to": 20})
    assert jobs.wait(ours).state is JobState.COMPLETED
    assert jobs.result(ours)["number"] == 20
    assert slurm.accepted(jobs.name(ours)) == [jobs.status(ours).scheduler_id]


def test_the_warning_before_the_time_limit_leads_to_a_checkpoint_and_a_next_batch_job(jobs: Batch) -> None:
    native_id = jobs.submit("long", {"do": "count", "to": 80}, walltime_s=10)
    assert jobs.wait(native_id).state is JobState.COMPLETED
    result = jobs.result(native_id)
    assert (result["number"], result["attempt"]) == (80, "attempt-01.00")
    assert any("goes on from its checkpoint" in status.cause for status in jobs.seen[native_id])

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from launch_helpers import ENTRY, Jobs, Watch, processes_at

from foedus.core.records import JobState
from foedus.launch import LocalLauncher
from foedus.launch._code import WorkerCode
from foedus.launch._pool import Pool


def test_a_crash_is_retried_once_in_a_clean_folder(jobs: Jobs) -> None:
    status, folder = jobs.run("die_once")
    assert status.state is JobState.COMPLETED
    left = set(jobs.result(folder)["left"]) - {"status.json"}  # this the launcher writes meanwhile
    assert left == {"job.json", "out.log", "ready", "spec.json"}
    assert folder.read_events() == ([], 0)
    assert folder.read_log() == "about to go\n--- next attempt ---\n"


@pytest.mark.parametrize(
    ("do", "cause"),
    [
        ("die", "killed by signal 9 (out of memory?)"),
        ("exit", "exited with code 3; its last output:\nabout to go"),
        ("segfault", "killed by signal 11 (segmentation fault); its last output:"),
    ],
)
def test_a_second_crash_fails_the_job_with_its_cause(jobs: Jobs, do: str, cause: str) -> None:
    status, _ = jobs.run(do)
    assert status.state is JobState.FAILED
    assert status.cause.startswith(cause)
    assert jobs.run("finish", "next")[0].state is JobState.COMPLETED


def test_temporary_files_of_a_killed_worker_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with LocalLauncher(ENTRY, workers=1, retries=0) as launcher:
        status, _ = Jobs(launcher, tmp_path).run("leave_temporary_file_and_die")
        assert status.state is JobState.FAILED
        assert not [*scratch.rglob("*.left")]
    assert not any(scratch.iterdir())


def test_retries_can_be_turned_off(tmp_path: Path) -> None:
    with LocalLauncher(ENTRY, workers=1, retries=0) as launcher:
        status, folder = Jobs(launcher, tmp_path).run("die_once")
    assert status.state is JobState.FAILED
    assert "next attempt" not in folder.read_log()


def test_workers_that_die_while_starting_fail_the_job_in_the_end(tmp_path: Path) -> None:
    with LocalLauncher(ENTRY, workers=2, setup="launch_entries:deadly_set_up") as launcher:
        jobs = Jobs(launcher, tmp_path)
        for name in "ab":
            status, _ = jobs.run("finish", name)
            assert (status.state, status.cause) == (JobState.FAILED, "exited with code 4")


def test_a_segfault_shows_where(jobs: Jobs) -> None:
    _, folder = jobs.run("segfault")
    assert "do_segfault" in folder.read_log()


def test_the_time_limit_kills(jobs: Jobs) -> None:
    status, _ = jobs.run("pause", walltime_s=0.05)
    assert (status.state, status.cause) == (JobState.FAILED, "time limit of 0.05 s reached")
    assert jobs.run("finish", "next")[0].state is JobState.COMPLETED


def test_cancelling_a_queued_job_is_immediate(own_jobs: Jobs) -> None:
    first, second = own_jobs.folder("a", "hang"), own_jobs.folder("b")
    running, queued = own_jobs.submit(first), own_jobs.submit(second)
    processes_at(first)
    own_jobs.launcher.cancel(queued)
    assert own_jobs.launcher.states([queued])[queued].state is JobState.CANCELLED
    own_jobs.launcher.cancel(queued)
    own_jobs.launcher.cancel(running)
    assert own_jobs.wait(running)[running].state is JobState.CANCELLED
    assert second.read_result() is None


@pytest.mark.parametrize("do", ["hang", "spin", "hang_with_child", "hang_with_daemon"])
def test_cancelling_leaves_no_process(jobs: Jobs, do: str) -> None:
    folder = jobs.folder("a", do)
    native_id = jobs.submit(folder)
    watch = Watch(*processes_at(folder))
    jobs.launcher.cancel(native_id)
    assert jobs.wait(native_id)[native_id].state is JobState.CANCELLED
    assert watch.alive_after(0) == []
    assert jobs.run("finish", "next")[0].state is JobState.COMPLETED


@pytest.mark.slow
def test_a_job_that_will_not_end_is_killed_while_others_go_on(jobs: Jobs) -> None:
    folder = jobs.folder("a", "hang_stubbornly")
    native_id = jobs.submit(folder)
    processes_at(folder)
    jobs.launcher.cancel(native_id)
    assert jobs.run("finish", "other")[0].state is JobState.COMPLETED
    assert jobs.launcher.states([native_id])[native_id].state is JobState.RUNNING
    assert jobs.wait(native_id)[native_id].state is JobState.CANCELLED


def test_a_cancelled_task_that_listens_to_warnings_saves_first(jobs: Jobs) -> None:
    folder = jobs.folder("a", "save_when_warned")
    native_id = jobs.submit(folder, "saves")
    (worker,) = processes_at(folder)
    jobs.launcher.cancel(native_id)
    status = jobs.wait(native_id)[native_id]
    assert (status.state, status.cause) == (JobState.CANCELLED, "cancelled while it ran")
    checkpoint = folder.open_checkpoint()
    assert checkpoint is not None
    with checkpoint:
        assert checkpoint.read() == b"where it was"
    assert worker in _children_of(_parent_of(worker))  # it was not killed, and serves the next


@pytest.mark.slow
def test_a_cancelled_task_that_listens_but_does_not_end_is_killed(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.launch.local._SAVING_S", 0.1)
    folder = jobs.folder("a", "hear_warnings_and_hang")
    native_id = jobs.submit(folder)
    watch = Watch(*processes_at(folder))
    jobs.launcher.cancel(native_id)
    assert jobs.launcher.states([native_id])[native_id].state is JobState.RUNNING
    assert jobs.wait(native_id)[native_id].state is JobState.CANCELLED
    assert watch.alive_after(0) == []


def test_a_retry_begins_after_the_last_process_of_the_crash_is_dead(jobs: Jobs) -> None:
    folder = jobs.folder("a", "exit_with_daemon")
    native_id = jobs.submit(folder)
    first = Watch(processes_at(folder)[1])
    jobs.wait_for_second_attempt(native_id)
    assert first.alive_after(0) == []
    second = Watch(processes_at(folder)[1])
    assert jobs.wait(native_id)[native_id].state is JobState.FAILED
    assert second.alive_after(0) == []


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    with LocalLauncher(ENTRY, workers=2) as launcher:
        jobs = Jobs(launcher, tmp_path)
        folder = jobs.folder("a", "hang_with_daemon")
        jobs.submit(folder)
        worker, child = processes_at(folder)
        watch = Watch(worker, child, _parent_of(worker))
    assert watch.alive_after(0) == []


def test_closing_does_not_wait_for_imports() -> None:
    """What the nursery is importing here never ends."""
    launcher = LocalLauncher(ENTRY, workers=1, preload=["launch_endless"])
    launcher.close()


def test_a_killed_nursery_is_replaced(jobs: Jobs) -> None:
    folder = jobs.folder("a", "hang_with_child")
    native_id = jobs.submit(folder)
    worker, child = processes_at(folder)
    watch = Watch(worker, child)
    os.kill(_parent_of(worker), signal.SIGKILL)
    jobs.wait_for_second_attempt(native_id)
    second = processes_at(folder)
    assert watch.alive_after(5) == []
    assert second[0] != worker
    jobs.launcher.cancel(native_id)
    assert jobs.wait(native_id)[native_id].state is JobState.CANCELLED
    assert jobs.run("finish", "next")[0].state is JobState.COMPLETED


# without a main guard, on purpose: users write scripts like this
_DRIVER = """
import sys
from foedus.core.records import JobSpec
from foedus.launch import LocalLauncher
sys.path.insert(0, sys.argv[1])
launcher = LocalLauncher("launch_entries:run", workers=3)
ids = [launcher.submit(JobSpec("", folder), folder) for folder in sys.argv[2:]]
print("submitted", flush=True)
launcher.states(ids, 100)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_die_with_their_driver(jobs: Jobs, tmp_path: Path, number: signal.Signals) -> None:
    """Also busy ones and what they started."""
    script = tmp_path / "driver.py"
    script.write_text(_DRIVER)
    folders = [jobs.folder(do, do) for do in ("spin", "hang_with_daemon")]
    paths = [str(folder.path) for folder in folders]
    command = [sys.executable, str(script), str(Path(__file__).parent), *paths]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL) as driver:
        processes = [process for folder in folders for process in processes_at(folder)]
        nursery = _parent_of(processes[0])
        watch = Watch(nursery, *processes, *_children_of(nursery))
        driver.send_signal(number)
        assert watch.alive_after(5) == []
        driver.kill()


_IMPORTING_DRIVER = """
import sys
from foedus.launch import LocalLauncher
sys.path.insert(0, sys.argv[1])
launcher = LocalLauncher("launch_entries:run", workers=1, preload=["launch_endless"])
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_imports_end_with_the_driver() -> None:
    command = [sys.executable, "-c", _IMPORTING_DRIVER, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        watch = Watch(*_children_of(driver.pid))
        driver.kill()
        assert len(watch.descriptors) == 1
        assert watch.alive_after(5) == []


def test_workers_leave_ctrl_c_to_the_driver(jobs: Jobs) -> None:
    folder = jobs.folder("a", "hang")
    native_id = jobs.submit(folder)
    (worker,) = processes_at(folder)
    os.kill(worker, signal.SIGINT)
    assert os.getpgid(worker) != os.getpgrp()
    jobs.launcher.states([native_id])
    assert jobs.launcher.states([native_id], 0.05)[native_id].state is JobState.RUNNING
    jobs.launcher.cancel(native_id)
    jobs.wait(native_id)


def test_idle_workers_that_die_are_replaced(own_jobs: Jobs) -> None:
    for name in "abc":
        _, folder = own_jobs.run("finish", name)
        worker = own_jobs.result(folder)["pid"]
        assert isinstance(worker, int)
        watch = Watch(worker)
        os.kill(worker, signal.SIGKILL)
        assert watch.alive_after(5) == []


def _parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _children_of(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_helpers_read_what_they_should() -> None:
    assert _parent_of(os.getpid()) == os.getppid()


def test_temporary_files_of_a_worker_just_started_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pool = Pool(WorkerCode(ENTRY))
    first = pool.start()
    while not first.process:
        pool.poll(None)
    pool.stop(first, 0.0)
    while pool.workers:
        pool.poll(None)
    pool.start()
    while not any(tmp_path.iterdir()):
        time.sleep(0.001)
    monkeypatch.setattr(pool, "poll", lambda _timeout_s: [])  # so nobody reads that the second one started
    pool.close()
    assert not any(tmp_path.iterdir())

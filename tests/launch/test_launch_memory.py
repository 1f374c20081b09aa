"""Memory limits of the local launcher: real allocations in real workers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launch_helpers import Jobs, Watch

from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch._memory import tree_mb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is known on Linux only"),
]
OVERSHOOT_MB = 400  # what a process may take between two looks


def submit(
    jobs: Jobs, name: str, do: str, mb: int, limit_mb: int | None, stays: str = ""
) -> tuple[NativeId, JobFolder]:
    folder = jobs.folder(name, do)
    folder.write_spec({"do": do, "mb": mb, "stays": stays})
    spec = JobSpec("", str(folder.path), Resources(memory_mb=limit_mb, walltime_s=60))
    return jobs.launcher.submit(spec, name), folder


def run(jobs: Jobs, name: str, do: str, mb: int, limit_mb: int | None, stays: str = "") -> JobStatus:
    native_id, _ = submit(jobs, name, do, mb, limit_mb, stays)
    return jobs.wait(native_id)[native_id]


@pytest.mark.parametrize("do", ["eat", "eat_in_children"])
def test_what_takes_too_much_memory_is_killed_and_told_and_not_repeated(own_jobs: Jobs, do: str) -> None:
    status = run(own_jobs, "a", do, 300, 200, stays="always")
    told = re.fullmatch(r"out of memory: it used (\d+) of 200 MB", status.cause)
    assert status.state is JobState.FAILED
    assert told, status.cause
    assert 200 < int(told[1]) < 200 + OVERSHOOT_MB
    assert status.attempt == 1


def test_what_stays_below_its_limit_is_left_alone(own_jobs: Jobs) -> None:
    assert run(own_jobs, "a", "eat", 100, 300).state is JobState.COMPLETED


def test_a_limit_holds_for_its_own_job_only(own_jobs: Jobs) -> None:
    assert run(own_jobs, "a", "finish", 0, 200).state is JobState.COMPLETED
    assert run(own_jobs, "b", "eat", 300, None).state is JobState.COMPLETED


def test_memory_that_an_earlier_job_left_behind_costs_a_second_attempt_and_not_the_job(
    own_jobs: Jobs,
) -> None:
    assert run(own_jobs, "a", "eat", 300, None).state is JobState.COMPLETED
    before = own_jobs.result(JobFolder(own_jobs.root / "a"))["pid"]
    status = run(own_jobs, "b", "eat", 10, 200, stays="after another")
    assert (status.state, status.attempt) == (JobState.COMPLETED, 2)
    assert own_jobs.result(JobFolder(own_jobs.root / "b"))["pid"] != before


def test_nothing_is_left_of_a_job_that_was_killed_for_its_memory(own_jobs: Jobs) -> None:
    _, folder = own_jobs.run("finish", "a")
    watch = Watch(int(str(own_jobs.result(folder)["pid"])))
    assert run(own_jobs, "b", "eat", 300, 200, stays="always").state is JobState.FAILED
    assert watch.alive_after(0) == []
    assert run(own_jobs, "c", "finish", 0, 200).state is JobState.COMPLETED


def test_memory_of_a_process_and_of_its_children_is_added_up(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    code = f"x = b'x' * (100 << 20); open({str(ready)!r}, 'w').close(); import signal; signal.pause()"
    before = tree_mb(os.getpid())
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        ready.read_text()
        assert 100 <= tree_mb(child.pid) < 150
        assert tree_mb(os.getpid()) >= before + 100
        child.kill()
    assert tree_mb(child.pid) == 0


def test_a_process_counts_whole_while_its_threads_come_and_go() -> None:
    program = (
        "import threading\n"
        "food = bytearray(64 << 20)\n"
        "food[::4096] = b'x' * len(food[::4096])\n"
        "print('fed', flush=True)\n"
        "while True:\n"
        "    threads = [threading.Thread(target=lambda: None) for _ in range(4)]\n"
        "    [thread.start() for thread in threads], [thread.join() for thread in threads]\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = [tree_mb(process.pid) for _ in range(300)]
        process.kill()
    assert min(seen) >= 64

"""Held allocations in good order: who serves what, for how long, and what is given back."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.launch.held_tools import Site, until

from foedus.core.records import JobSpec, JobState, Resources
from foedus.launch import JobFolder, LocalLauncher
from foedus.launch.cluster import Program
from foedus.launch.held import HeldLauncher, HeldTimes, holding_program

pytestmark = pytest.mark.slow  # each starts processes


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_one_batch_job_serves_all_tasks_of_a_client(site: Site) -> None:
    found = [site.done(f"task-{number}") for number in range(5)]
    assert len({result["pid"] for result in found}) == 1
    assert len(site.batch_jobs) == 1
    [order] = [batch.order for batch in site.scheduler.jobs.values()]
    assert (order.application, order.affinity) == ("FL_HOLD", "north")
    assert order.resources == Resources(walltime_s=site.held.walltime_s)


def test_clients_and_resources_do_not_share_allocations(site: Site) -> None:
    first = site.done("one", client="north")["pid"]
    second = site.done("two", client="south")["pid"]
    folder = site.folder("three", "finish")
    assert site.final(site.submit(folder, "south", cpus=2)).state is JobState.COMPLETED
    assert len(site.batch_jobs) == 3
    assert len({first, second, (folder.read_result() or {})["pid"]}) == 3
    assert site.done("four", client="north")["pid"] == first
    assert len(site.batch_jobs) == 3


def test_the_time_limit_of_a_task_makes_no_other_allocation(site: Site) -> None:
    site.done("one")
    assert site.final(site.submit(site.folder("two", "finish"), walltime_s=7)).state is JobState.COMPLETED
    assert len(site.batch_jobs) == 1


def test_a_warm_worker_begins_at_once(tmp_path: Path) -> None:
    """With the usual settings; the quickest of some, on a machine that does other things, too."""
    site = Site(tmp_path, held=HeldTimes())
    try:
        site.done("first")
        waited = []
        for number in range(5):
            folder, before = site.folder(f"task-{number}", "finish"), time.time()
            site.final(site.submit(folder))
            waited.append(float(str((folder.read_result() or {})["at"])) - before)
        assert min(waited) < 0.3
    finally:
        site.close()


def test_tasks_wait_with_their_allocation_and_say_for_what(site: Site) -> None:
    site.scheduler.is_holding = True
    native_id = site.submit(site.folder("task", "finish"))
    status = site.when(native_id, lambda status: "resources" in status.cause)
    assert status.state is JobState.QUEUED
    assert status.cause == "its held allocation waits: waiting for resources"
    site.launcher.cancel(native_id)
    assert site.final(native_id).state is JobState.CANCELLED
    assert not (site.root / "task" / "out.log").exists()


def test_a_client_s_tasks_run_one_after_the_other(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = site.submit(site.folder("first", "wait", **{"for": str(gate)}))
    second = site.submit(site.folder("second", "finish"))
    site.running(first)
    site.when(second, lambda status: status.cause == "waiting for another task of this client")
    gate.touch()
    assert site.final(second).state is JobState.COMPLETED
    assert site.final(first).state is JobState.COMPLETED


def test_cancelling_a_task_stops_that_task_alone(site: Site) -> None:
    before = site.done("before")
    running = site.submit(site.folder("running", "wait", **{"for": "/never"}))
    waiting = site.submit(site.folder("waiting", "finish"))
    site.running(running)
    site.launcher.cancel(waiting)
    site.launcher.cancel(running)
    assert site.final(running).state is JobState.CANCELLED
    assert site.final(waiting).state is JobState.CANCELLED
    assert not (site.root / "waiting" / "out.log").exists()
    after = site.done("after")
    assert after["parent"] == before["parent"], "it is not the same allocation"
    assert len(site.batch_jobs) == 1


def test_a_task_that_takes_too_much_memory_is_the_only_one_to_end(site: Site) -> None:
    greedy = site.submit(site.folder("greedy", "eat"), memory_mb=250)
    status = site.final(greedy)
    assert status.state is JobState.FAILED
    assert status.cause.startswith("out of memory: it used ")
    assert site.final(site.submit(site.folder("modest", "finish"), memory_mb=250)).state is JobState.COMPLETED
    assert len(site.batch_jobs) == 1


def test_closing_gives_all_allocations_back(site: Site) -> None:
    site.done("task", client="north")
    site.scheduler.is_holding = True
    site.submit(site.folder("queued", "finish"), client="south")
    began = time.monotonic()
    site.launcher.close()
    assert time.monotonic() - began < site.held.grace_s / 2
    served, queued = site.batch_jobs
    until(lambda: site.ended(served))
    assert site.scheduler.look([served])[served].state is JobState.COMPLETED
    assert site.scheduler.look([queued])[queued].state is JobState.CANCELLED


def test_a_task_goes_on_where_closing_interrupted_it(site: Site) -> None:
    native_id = site.submit(site.folder("task", "step"))
    site.running(native_id)
    until(lambda: (site.root / "task" / "events.jsonl").exists())
    site.launcher.close()
    site.open()
    assert site.submit(JobFolder(site.root / "task")) == native_id
    assert site.final(native_id).state is JobState.COMPLETED
    assert JobFolder(site.root / "task").read_result() == {"from": "so far", "attempt": "attempt-01.00"}
    assert len(site.batch_jobs) == 2


def test_what_waits_when_it_is_closed_is_done_by_the_next_process(site: Site) -> None:
    site.scheduler.is_holding = True
    native_id = site.submit(site.folder("task", "finish"))
    site.launcher.close()
    site.scheduler.is_holding = False
    site.open()
    assert site.submit(JobFolder(site.root / "task")) == native_id
    status = site.final(native_id)
    assert (status.state, status.attempt) == (JobState.COMPLETED, 1)


def test_a_successor_is_queued_in_time_and_takes_over(tmp_path: Path) -> None:
    site = Site(tmp_path, HeldTimes(4.0, 2.0, poll_s=0.02, task_poll_s=0.02, beat_s=0.2))
    site.program = Program(site.program.entry, path=site.program.path, warning_s=0.5)
    site.close()
    site.open()
    try:
        first = site.done("first")
        until(lambda: len(site.batch_jobs) == 2)
        assert not site.ended(site.batch_jobs[0]), "there was no time ahead"
        until(lambda: site.ended(site.batch_jobs[0]))
        second = site.done("second")
        assert second["parent"] != first["parent"]
        assert site.scheduler.look(site.batch_jobs)[site.batch_jobs[0]].state is JobState.COMPLETED
    finally:
        site.close()


def test_a_task_goes_on_in_the_next_allocation_when_the_time_is_over(tmp_path: Path) -> None:
    site = Site(tmp_path, HeldTimes(4.0, 2.0, poll_s=0.02, task_poll_s=0.02, beat_s=0.2))
    try:
        native_id = site.submit(site.folder("task", "step"))
        assert site.final(native_id).state is JobState.COMPLETED
        assert JobFolder(site.root / "task").read_result() == {"from": "so far", "attempt": "attempt-01.00"}
        assert len(site.batch_jobs) == 2
    finally:
        site.close()


def test_a_task_that_no_allocation_has_time_for_fails_with_that_reason(tmp_path: Path) -> None:
    site = Site(tmp_path, HeldTimes(4.0, 0.5, poll_s=0.02, task_poll_s=0.02, beat_s=0.2))
    site.close()
    site.program = replace(site.program, warning_s=0.5)
    site.open()
    try:
        status = site.final(site.submit(site.folder("task", "wait", **{"for": "/never"})))
        assert (status.state, status.attempt) == (JobState.FAILED, 1)
        assert status.cause == "without a checkpoint the task needs longer than held.walltime_s, 4 s"
    finally:
        site.close()


def test_a_task_that_began_late_is_done_again_in_the_next_allocation(tmp_path: Path) -> None:
    site = Site(tmp_path, HeldTimes(4.0, 0.5, poll_s=0.02, task_poll_s=0.02, beat_s=0.2))
    site.close()
    site.program = replace(site.program, warning_s=0.5)
    site.open()
    try:
        site.done("before")
        time.sleep(1.5)
        native_id = site.submit(site.folder("task", "wait", **{"for": str(tmp_path / "gate")}))
        site.when(native_id, lambda status: status.attempt == 2)
        (tmp_path / "gate").touch()
        assert site.final(native_id).state is JobState.COMPLETED
    finally:
        site.close()


def test_any_launcher_can_run_the_batch_jobs(tmp_path: Path) -> None:
    program = Program("held_entries:run")
    with (
        LocalLauncher(holding_program(program).entry, workers=1) as inner,
        HeldLauncher(inner, program, tmp_path / "held") as launcher,
    ):
        folder = JobFolder(tmp_path / "task")
        folder.path.mkdir()
        folder.write_spec({"do": "finish"})
        native_id = launcher.submit(JobSpec("TEST", str(folder.path), affinity="north"), "task")
        until(lambda: launcher.states([native_id])[native_id].state.is_final)
        assert folder.has_result()


def test_the_last_states_of_allocations_are_noted_when_they_are_given_back(site: Site) -> None:
    site.done("task", client="north")
    site.scheduler.is_holding = True
    site.submit(site.folder("queued", "finish"), client="south")
    site.launcher.close()
    noted = [JobFolder(path).read_status() or {} for path in sorted((site.root / "held").glob("*/[0-9]*"))]
    assert sorted(str(status["state"]) for status in noted) == ["cancelled", "completed"]

"""Held allocations that die, are cut off, or lose their owner: each task counts once."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.launch.held_tools import LIMIT_S, TIMES, Site, until

from foedus.core.errors import HomeInUse, InvalidSpec
from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.launch.cluster import Sight
from foedus.launch.held import HeldLauncher
from foedus.launch.held.letters import Letters, TaskOrder

pytestmark = pytest.mark.slow  # each starts processes
NODE_FAILED = Sight("0", JobState.FAILED, "NODE_FAIL", "its node failed")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def waiting(site: Site, name: str = "task") -> JobFolder:
    """A task that waits for the file `gate`."""
    return site.folder(name, "wait", **{"for": str(site.root / "gate")})


def test_the_task_of_a_failed_node_is_done_again_on_another(site: Site) -> None:
    native_id = site.submit(waiting(site))
    site.running(native_id)
    site.scheduler.fail(site.batch_jobs[0], NODE_FAILED)
    status = site.when(native_id, lambda status: len(site.batch_jobs) == 2)
    (site.root / "gate").touch()
    status = site.final(native_id)
    assert (status.state, status.attempt) == (JobState.COMPLETED, 2)
    assert len(site.batch_jobs) == 2


def test_failing_nodes_are_given_up_on_and_named(site: Site) -> None:
    native_id = site.submit(waiting(site))
    for number in range(3):
        site.when(native_id, lambda status: status.attempt == number + 1 and status.state is JobState.RUNNING)  # noqa: B023 - used at once
        site.scheduler.fail(site.batch_jobs[number], NODE_FAILED)
    status = site.final(native_id)
    assert status.state is JobState.FAILED
    assert "its held allocation has ended: its node failed" in status.cause
    assert len(site.batch_jobs) == 3


def test_an_allocation_that_somebody_cancels_is_replaced(site: Site) -> None:
    native_id = site.submit(waiting(site))
    site.running(native_id)
    name = site.batch_jobs[0]
    site.scheduler.cancel(name, site.scheduler.jobs[name].scheduler_id)
    site.when(native_id, lambda status: len(site.batch_jobs) == 2)
    (site.root / "gate").touch()
    assert site.final(native_id).state is JobState.COMPLETED


def test_of_a_node_that_was_cut_off_and_its_successor_one_counts(site: Site) -> None:
    """The old worker goes on while the scheduler starts the batch job again: both end their task."""
    native_id = site.submit(waiting(site))
    site.running(native_id)
    old = site.scheduler.jobs[site.batch_jobs[0]].process
    assert old is not None
    site.scheduler.restart(site.batch_jobs[0], keeps_old=True)
    site.when(native_id, lambda status: status.attempt == 2 and status.state is JobState.RUNNING)
    assert len(site.batch_jobs) == 2
    (site.root / "gate").touch()
    assert site.final(native_id).state is JobState.COMPLETED
    task = JobFolder(site.root / "task")
    result = task.read_result()
    assert site.done("next"), "the successor serves on"
    assert old.wait(LIMIT_S) == 0, "the old worker did not leave in good order"
    assert task.read_result() == result


def test_a_killed_process_finds_its_allocations_again(site: Site) -> None:
    before = site.done("before")
    running, ended = site.submit(waiting(site)), site.submit(site.folder("waits", "finish"))
    site.running(running)
    site.kill()
    (site.root / "gate").touch()
    until(lambda: JobFolder(site.root / "waits").attempts() != [])
    site.open()
    for name, native_id in (("task", running), ("waits", ended)):
        assert site.submit(JobFolder(site.root / name)) == native_id
        status = site.final(native_id)
        assert (status.state, status.attempt) == (JobState.COMPLETED, 1)
    assert site.done("after")["parent"] == before["parent"]
    assert len(site.batch_jobs) == 1


def test_two_processes_do_not_share_allocations(site: Site) -> None:
    site.done("before")
    with pytest.raises(HomeInUse):
        HeldLauncher(site.inner, site.program, site.root / "held")
    site.done("after")
    assert len(site.batch_jobs) == 1


def test_allocations_without_an_owner_give_their_nodes_back(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(TIMES, idle_s=0.5, beat_s=0.1))
    try:
        site.done("before")
        site.kill()
        until(lambda: site.ended(site.batch_jobs[0]))
        assert site.scheduler.look(site.batch_jobs)[site.batch_jobs[0]].state is JobState.COMPLETED
        site.open()
        site.done("after")
        assert len(site.batch_jobs) == 2
    finally:
        site.close()


def test_a_worker_without_an_owner_still_ends_its_task(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(TIMES, idle_s=0.5, beat_s=0.1))
    try:
        native_id = site.submit(waiting(site))
        site.running(native_id)
        site.kill()
        with pytest.raises(AssertionError, match="did not come about"):
            until(lambda: site.ended(site.batch_jobs[0]), limit_s=1.5)
        (site.root / "gate").touch()
        until(lambda: site.ended(site.batch_jobs[0]))
        site.open()
        assert site.submit(JobFolder(site.root / "task")) == native_id
        assert site.final(native_id).state is JobState.COMPLETED
        assert len(site.batch_jobs) == 1
    finally:
        site.close()


def test_a_worker_that_gives_no_sign_of_life_is_replaced(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(TIMES, silent_s=1.5, grace_s=1.0))
    try:
        server = int(str(site.done("before")["server"]))
        os.kill(server, signal.SIGSTOP)
        assert site.done("after")["server"] != server
        assert len(site.batch_jobs) == 2
        until(lambda: site.ended(site.batch_jobs[0]))
    finally:
        site.close()


def test_warm_workers_do_not_need_the_scheduler(site: Site) -> None:
    site.done("before")
    site.scheduler.is_down = True
    site.done("while")
    site.scheduler.is_down = False
    assert len(site.batch_jobs) == 1


def test_a_worker_that_cannot_start_fails_its_tasks_with_the_reason(site: Site) -> None:
    site.close()
    site.program = replace(site.program, setup="held_entries:deadly")
    site.scheduler.jobs.clear()
    site.scheduler.submissions.clear()
    site.open()
    status = site.final(site.submit(site.folder("task", "finish")))
    assert status.state is JobState.FAILED
    assert "the worker of a held allocation cannot start: exited with code 4" in status.cause
    assert len(site.batch_jobs) == 3


def test_a_task_whose_code_cannot_be_imported_fails_with_the_reason(site: Site) -> None:
    site.close()
    site.program = replace(site.program, entry="held_entries:nothing_there")
    site.open()
    status = site.final(site.submit(site.folder("task", "finish")))
    assert status.state is JobState.FAILED
    assert "nothing_there" in status.cause


def test_what_the_scheduler_refuses_fails_the_task(site: Site) -> None:
    site.scheduler.refuses = "no such partition"
    status = site.final(site.submit(site.folder("task", "finish")))
    assert status.state is JobState.FAILED
    assert "no such partition" in status.cause
    assert "held.walltime_s" in status.cause  # the usual reason


def test_resources_that_cannot_be_had_are_refused_at_once(site: Site) -> None:
    with pytest.raises(InvalidSpec, match="unfit"):
        site.submit(site.folder("task", "finish"), queue="unfit")
    site.done("other")


def test_closing_does_not_wait_for_a_task_that_does_not_listen(tmp_path: Path) -> None:
    """It is killed when its time to end is over; the next process has it done from the start."""
    site = Site(tmp_path, replace(TIMES, grace_s=20.0))
    site.close()
    site.program = replace(site.program, warning_s=0.5)
    site.open()
    try:
        native_id = site.submit(waiting(site))
        site.running(native_id)
        site.launcher.close()
        until(lambda: site.ended(site.batch_jobs[0]))
        (site.root / "gate").touch()
        site.open()
        site.submit(JobFolder(site.root / "task"))
        assert site.final(native_id).state is JobState.COMPLETED
    finally:
        site.close()


def mailbox(site: Site, box: str) -> Path:
    [path] = (site.root / "held").glob(f"*/0001/{box}/events.jsonl")
    return path


def test_a_hiccup_of_the_file_system_costs_no_worker(site: Site) -> None:
    """While a task is under way its worker can give no sign of life; when it ends, it can tell nobody."""
    native_id = site.submit(waiting(site))
    site.running(native_id)
    answers = mailbox(site, "answers").parent
    for is_ending in (False, True):
        answers.rename(answers.parent / "away")
        if is_ending:
            (site.root / "gate").touch()
            site.final(native_id)
        time.sleep(2 * site.held.beat_s)  # for the worker to find that out
        (answers.parent / "away").rename(answers)
    assert site.final(native_id).attempt == 1
    until(lambda: {"cause": "", "ended": f"{native_id}-0"} in Letters(answers).new())
    site.done("next")
    assert len(site.batch_jobs) == 1


def test_orders_that_are_read_anew_are_not_followed_anew(site: Site) -> None:
    """As after a crash of the file server, with which the last letter was lost."""
    before = site.done("first")
    assert site.final(site.submit(site.folder("second", "raise"))).state is JobState.FAILED
    site.done("third")
    orders = mailbox(site, "orders")
    *kept, _ = orders.read_bytes().splitlines(keepends=True)
    os.truncate(orders, len(b"".join(kept)))
    time.sleep(0.5)  # for the worker to find that out
    site.done("fourth")
    first, second = (JobFolder(site.root / name) for name in ("first", "second"))
    assert (first.read_result(), first.attempts()) == (before, [])
    assert second.attempts() == ["attempt-00.00"]


def test_a_task_that_has_a_result_is_not_done_again(site: Site) -> None:
    before = site.done("first")
    task = JobFolder(site.root / "first")
    order = TaskOrder("foedus-other-0", str(task.path), 0, 60.0)
    Letters(mailbox(site, "orders").parent).send(order.to_letter())
    answers = Letters(mailbox(site, "answers").parent)
    until(lambda: {"cause": "", "ended": order.name} in answers.new())
    assert (task.read_result(), task.attempts()) == (before, [])

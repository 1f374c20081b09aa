"""What an owner concludes from letters and batch jobs, without processes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from foedus.core.canonical import Json
from foedus.core.errors import TaskFailed
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch._code import WorkerCode
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.letters import Letters, TaskOrder
from foedus.launch.held.post import Post
from foedus.launch.held.worker import ANSWERS, take_post

POST = Post("north", Resources(gpus=1, memory_mb=500), WorkerCode("a:b", "c:d", ("torch",), 2), 60.0)
ORDER = TaskOrder("foedus-1-0", "/jobs/one", 0, 60.0, 100)
OTHER = replace(ORDER, name="foedus-2-0", folder="/jobs/two")


@pytest.fixture
def allocation(tmp_path: Path) -> Allocation:
    return Allocation.at(tmp_path / "0001", POST)


def answer(allocation: Allocation, *letters: dict[str, Json]) -> Allocation:
    """Have the worker answer, and read it."""
    for letter in letters:
        Letters(allocation.folder.path / ANSWERS).send(letter)
    allocation.read()
    return allocation


def batch_job(state: JobState, cause: str = "") -> JobStatus:
    return JobStatus(NativeId("held"), state, cause)


def test_an_allocation_is_served_once(allocation: Allocation) -> None:
    take_post(allocation.folder)
    with pytest.raises(TaskFailed):
        take_post(allocation.folder)
    assert not allocation.void(), "a worker was quicker"


def test_a_task_is_seen_as_its_worker_tells(allocation: Allocation) -> None:
    allocation.give(ORDER)
    allocation.give(OTHER)
    assert allocation.sight(ORDER.name).state is JobState.QUEUED
    answer(allocation, {"ready": True}, {"begun": ORDER.name})
    assert allocation.sight(ORDER.name).state is JobState.RUNNING
    assert allocation.sight(OTHER.name).cause == "waiting for another task of this client"
    answer(allocation, {"ended": ORDER.name, "cause": "the disk is full"})
    assert allocation.sight(ORDER.name).state is JobState.COMPLETED
    assert allocation.sight(ORDER.name).cause == "the disk is full"
    assert allocation.pending == [OTHER.name]


def test_what_is_known_survives_the_owner(allocation: Allocation) -> None:
    allocation.give(ORDER)
    allocation.give(OTHER)
    allocation.cancel(OTHER.name)
    answer(allocation, {"ready": True}, {"begun": ORDER.name})
    again = Allocation.at(allocation.folder.path)
    assert (again.post, again.given, again.cancelled, again.begun, again.is_ready) == (
        POST,
        {ORDER.name: ORDER, OTHER.name: OTHER},
        {OTHER.name},
        {ORDER.name},
        True,
    )
    assert again.takes_orders
    again.end("its node failed")
    assert Allocation.at(allocation.folder.path).over == "its node failed"


@pytest.mark.parametrize(
    ("left", "begun_moves"), [("stopped", True), ("abandoned", True), ("out of time", False)]
)
def test_what_a_worker_left_undone_is_moved_unless_it_would_never_end(
    allocation: Allocation, left: str, begun_moves: bool
) -> None:
    allocation.give(ORDER)
    allocation.give(OTHER)
    answer(allocation, {"ready": True}, {"begun": ORDER.name}, {"left": left})
    assert allocation.may_move(ORDER.name) is begun_moves
    assert allocation.may_move(OTHER.name)
    sight = allocation.sight(ORDER.name)
    assert (sight.state, sight.is_passing, sight.out_of_time) == (JobState.FAILED, True, not begun_moves)


def test_nothing_is_moved_from_a_worker_that_may_live(allocation: Allocation) -> None:
    allocation.give(ORDER)
    take_post(allocation.folder)
    allocation.follow(batch_job(JobState.FAILED, "its node failed"), 0.0)
    assert not allocation.may_move(ORDER.name)
    sight = allocation.sight(ORDER.name)
    assert (sight.state, sight.is_passing) == (JobState.FAILED, True)
    assert sight.cause == "its held allocation has ended: its node failed"


def test_what_was_never_served_is_moved_and_never_served(allocation: Allocation) -> None:
    allocation.give(ORDER)
    assert allocation.void()
    assert allocation.may_move(ORDER.name)
    with pytest.raises(TaskFailed):
        take_post(allocation.folder)
    assert Allocation.at(allocation.folder.path).may_move(ORDER.name)


def test_a_cancelled_task_is_never_moved(allocation: Allocation) -> None:
    allocation.give(ORDER)
    allocation.cancel(ORDER.name)
    assert allocation.sight(ORDER.name).state is JobState.CANCELLED
    take_post(allocation.folder)
    assert allocation.sight(ORDER.name).state is JobState.QUEUED, "the worker may just have begun it"
    answer(allocation, {"left": "stopped"})
    assert not allocation.may_move(ORDER.name)
    assert allocation.sight(ORDER.name).state is JobState.CANCELLED


def test_a_batch_job_that_waits_again_has_lost_its_worker(allocation: Allocation) -> None:
    answer(allocation, {"ready": True})
    allocation.follow(batch_job(JobState.QUEUED), 0.0)
    assert not allocation.over, "that was an old answer of the scheduler"
    allocation.follow(batch_job(JobState.RUNNING), 1.0)
    allocation.follow(batch_job(JobState.QUEUED), 2.0)
    assert allocation.over == "its batch job was started again"


def test_silence_counts_from_the_first_sign_of_life(allocation: Allocation) -> None:
    silent_s = POST.times.silent_s
    allocation.follow(batch_job(JobState.QUEUED), 10 * silent_s)
    assert not allocation.over, "no worker is there yet"
    answer(allocation, {"ready": True})
    allocation.follow(batch_job(JobState.UNKNOWN), 10 * silent_s)
    allocation.follow(batch_job(JobState.UNKNOWN), 11 * silent_s)
    assert not allocation.over
    allocation.follow(batch_job(JobState.UNKNOWN), 11 * silent_s + 1)
    assert allocation.over == "its worker gave no sign of life for 181 s"


def test_an_owner_that_does_not_know_says_so(allocation: Allocation) -> None:
    allocation.give(ORDER)
    allocation.follow(batch_job(JobState.UNKNOWN, "no answer"), 0.0)
    assert (allocation.sight(ORDER.name).state, allocation.sight(ORDER.name).cause) == (
        JobState.UNKNOWN,
        "no answer",
    )
    allocation.follow(batch_job(JobState.RUNNING), 0.0)
    assert allocation.sight(ORDER.name).cause == "the worker of its held allocation starts"


def test_a_task_that_had_all_the_time_is_not_done_again(allocation: Allocation) -> None:
    """But for one with a checkpoint, which is gone on from in any case when the time was over."""
    allocation.give(ORDER)
    answer(
        allocation, {"ready": True}, {"begun": ORDER.name}, {"too_long": ORDER.name}, {"left": "out of time"}
    )
    sight = allocation.sight(ORDER.name)
    assert (sight.state, sight.is_passing, sight.out_of_time) == (JobState.FAILED, False, True)
    assert sight.cause == "without a checkpoint the task needs longer than held.walltime_s, 86400 s"


def test_an_allocation_without_a_folder_can_be_ended(allocation: Allocation) -> None:
    shutil.rmtree(allocation.folder.path)
    allocation.beat(0.0)
    allocation.read()
    allocation.follow(batch_job(JobState.FAILED, "its node failed"), 1.0)
    assert allocation.over.startswith("its node failed")


def test_what_is_over_is_not_written_to_again(allocation: Allocation) -> None:
    allocation.give(ORDER)
    allocation.end("its node failed")
    file = allocation.folder.path / "orders" / "events.jsonl"
    before = file.read_bytes()
    assert Allocation.at(allocation.folder.path).pending == [ORDER.name]
    assert file.read_bytes() == before

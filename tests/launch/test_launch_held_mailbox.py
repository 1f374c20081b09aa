"""Letters, posts and what an owner concludes from them, without processes."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch._code import WorkerCode
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.letters import Letters, TaskOrder
from foedus.launch.held.post import HeldTimes, Post
from foedus.launch.held.worker import ANSWERS, take_post

POST = Post("north", Resources(gpus=1, memory_mb=500), WorkerCode("a:b", "c:d", ("torch",), 2), 60.0)
ORDER = TaskOrder("foedus-1-0", "/jobs/one", 0, 60.0, 100)
OTHER = replace(ORDER, name="foedus-2-0", folder="/jobs/two")
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)


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


# --- letters ---


def test_letters_arrive_once_and_in_order(tmp_path: Path) -> None:
    writer, reader = Letters(tmp_path / "box"), Letters(tmp_path / "box")
    assert reader.new() == []
    writer.make()
    for number in range(3):
        writer.send({"number": number}, durable=True)
    assert reader.new() == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert reader.new() == []
    writer.send({"number": 3})
    assert reader.new() == [{"number": 3}]


def test_half_a_letter_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """Its writer was killed; the next one mends the file."""
    Letters(tmp_path / "box").make()
    with (tmp_path / "box" / "events.jsonl").open("ab") as file:
        file.write(canonical_json({"number": 1}) + b'{"number"')
    writer = Letters(tmp_path / "box")
    writer.make()
    writer.send({"number": 2})
    assert Letters(tmp_path / "box").new() == [{"number": 1}, {"number": 2}]


def test_every_letter_and_touch_is_a_sign_of_life(tmp_path: Path) -> None:
    writer, reader = Letters(tmp_path / "box"), Letters(tmp_path / "box")
    writer.make()
    assert reader.is_touched()
    assert not reader.is_touched()
    os.utime(tmp_path / "box" / "events.jsonl", (1, 1))
    assert reader.is_touched()
    writer.touch()
    assert reader.is_touched()
    writer.send({"stop": True})
    assert reader.is_touched()
    assert not Letters(tmp_path / "none").is_touched()


def test_an_order_survives_the_mailbox() -> None:
    letter = parse_canonical_json(canonical_json(ORDER.to_letter()))
    assert isinstance(letter, dict)
    assert TaskOrder.from_letter(letter) == ORDER


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"),
        ("name", ""),
        ("name", "a" * 64),
        ("name", 7),
        ("folder", "jobs/one"),
        ("folder", "/jobs/\0"),
        ("number", -1),
        ("number", 1_000_000),
        ("number", True),
        ("number", 1.0),
        ("walltime_s", 0),
        ("walltime_s", "60"),
        ("memory_mb", -1),
        ("memory_mb", None),
    ],
)
def test_an_order_with_an_unfit_value_is_none(field: str, value: Json) -> None:
    assert TaskOrder.from_letter({**ORDER.to_letter(), field: value}) is None


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*TaskOrder.__slots__, "cancel", "stop"], VALUES)))
def test_no_letter_is_a_reason_to_stop(letter: dict[str, Json]) -> None:
    order = TaskOrder.from_letter(letter)
    assert order is None or order.to_letter() == letter


# --- posts ---


def test_a_post_survives_its_batch_job_s_spec(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_spec(POST.to_json())
    assert Post.from_json(folder.read_spec()) == POST


@pytest.mark.parametrize(
    "change",
    [
        {"affinity": 1},
        {"warning_s": "60"},
        {"more": 1},
        {"resources": {}},
        {"resources": None},
        {"code": {"entry": "a:b", "setup": "", "preload": "torch", "threads": 1}},
        {"code": {"entry": "a:b", "setup": "", "preload": [1], "threads": 1}},
        {"code": {"entry": "import os", "setup": "", "preload": [], "threads": 1}},
        {"code": {"entry": "a:b", "setup": "", "preload": [], "threads": 0}},
    ],
)
def test_an_unfit_post_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(InvalidSpec):
        Post.from_json({**POST.to_json(), **change})
    with pytest.raises(InvalidSpec):
        Post.from_json({"affinity": "north"})


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_times_must_be_positive(value: float) -> None:
    with pytest.raises(InvalidSpec, match="walltime_s"):
        HeldTimes(walltime_s=value)


# --- what an owner concludes ---


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

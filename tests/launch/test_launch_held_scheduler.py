"""The scheduler of held allocations with batch jobs that are only said to run, and workers that we play."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.launch.held_tools import Hall, until

from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState
from foedus.launch.cluster import Unreachable
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.letters import Letters


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "held")
    made.open()
    yield made
    made.batches.error = made.batches.bug = None
    made.scheduler.close()


# --- folders that cannot be used ---


def test_one_unusable_folder_costs_no_other_its_signs_of_life(hall: Hall) -> None:
    north, south = hall.order(1, "north"), hall.order(2, "south")
    hall.answer(0, {"ready": True})
    hall.answer(1, {"ready": True}, {"begun": south})
    until(lambda: hall.seen(north).cause == "" and hall.seen(south).state is JobState.RUNNING)
    shutil.rmtree(hall.batches.folders[0])
    mailbox, answers = (hall.batches.folders[1] / box / "events.jsonl" for box in ("orders", "answers"))

    def is_given_up() -> bool:
        os.utime(answers)
        return hall.seen(north).state is JobState.FAILED

    until(is_given_up)
    assert hall.seen(north).is_passing
    assert "gave no sign of life" in hall.seen(north).cause
    assert hall.batches.cancelled == [hall.batches.keys[NativeId("0")]]
    os.utime(mailbox, (1, 1))
    until(lambda: mailbox.stat().st_mtime > 1)
    assert hall.seen(south).state is JobState.RUNNING


def test_where_a_mailbox_is_gone_another_allocation_gets_the_task(hall: Hall) -> None:
    hall.order(1)
    shutil.rmtree(hall.batches.folders[0])
    name = hall.order(2)
    assert hall.batches.cancelled == [hall.batches.keys[NativeId("0")]]
    assert hall.ordered(1) == [name]


def test_a_task_in_a_folder_that_is_gone_can_be_cancelled(hall: Hall) -> None:
    name = hall.order(1)
    shutil.rmtree(hall.batches.folders[0])
    hall.scheduler.cancel(name, "")
    assert hall.batches.cancelled == [hall.batches.keys[NativeId("0")]]
    assert hall.seen(name).state is JobState.FAILED


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_no_allocation(hall: Hall, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    first = hall.order(1)
    with monkeypatch.context() as patch:
        patch.setattr(Letters, "send", fails)
        with pytest.raises(Unreachable, match=os.strerror(number)):
            hall.order(2)
        with pytest.raises(Unreachable, match=os.strerror(number)):
            hall.scheduler.cancel(first, "")
    assert hall.ordered(0) == [first]
    second = hall.order(2)
    assert hall.ordered(0) == [first, second]
    assert not hall.batches.cancelled


def test_an_end_that_cannot_be_written_down_does_not_hinder_the_next_process(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    name = hall.order(1)
    hall.kill()
    hall.batches.error = InvalidSpec("no such partition")
    monkeypatch.setattr(Letters, "send", fails)
    hall.open()
    assert hall.seen(name).cause == "its held allocation has ended: no such partition"


# --- allocations that cannot be had ---


def test_a_task_that_cannot_be_moved_fails_alone_and_once(hall: Hall) -> None:
    name, other = hall.order(1), hall.order(2, "south")
    hall.answer(0, {"ready": True}, {"left": "stopped"})
    hall.batches.error = InvalidSpec("no such partition")
    before = hall.kept
    for _ in range(3):
        sights = hall.scheduler.look([name, other])
        assert sights[name].state is JobState.COMPLETED
        assert sights[name].cause == "no other held allocation can be had: no such partition"
        assert sights[other].state is JobState.QUEUED
    assert hall.kept == before


def test_a_task_is_moved_as_soon_as_that_can_be_done(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    name = hall.order(1)
    hall.answer(0, {"ready": True}, {"left": "stopped"})
    hall.batches.error = Unreachable("no answer")
    assert (hall.seen(name).state, hall.seen(name).cause) == (
        JobState.UNKNOWN,
        "no other held allocation can be had now: no answer",
    )
    hall.batches.error = None
    assert hall.seen(name).state is JobState.QUEUED
    assert hall.ordered(1) == [name]


def test_what_is_refused_leaves_no_folder(hall: Hall) -> None:
    hall.batches.error = InvalidSpec("no such partition")
    for number in range(3):
        with pytest.raises(InvalidSpec):
            hall.order(number)
    assert hall.kept == []
    hall.batches.error = None
    hall.order(4)
    assert [path.name for path in hall.kept] == ["0001"]


def test_what_cannot_be_made_leaves_no_folder(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(letters: Letters) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Letters, "make", fails)
    with pytest.raises(Unreachable, match="no space left"):
        hall.order(1)
    assert hall.kept == []


# --- the thread ---


def test_whatever_goes_wrong_in_the_thread_is_told_until_it_is_over(hall: Hall) -> None:
    name = hall.order(1)
    hall.batches.bug = OverflowError("int too large")

    def is_told() -> bool:
        try:
            hall.scheduler.look([name])
        except Unreachable as error:
            return error.message == "held allocations cannot be looked after: OverflowError: int too large"
        return False

    until(is_told)
    with pytest.raises(Unreachable, match="int too large"):
        hall.order(2)
    mailbox = hall.batches.folders[0] / "orders" / "events.jsonl"
    os.utime(mailbox, (1, 1))
    until(lambda: mailbox.stat().st_mtime > 1)
    hall.batches.bug = None
    until(lambda: not is_told())
    assert hall.seen(hall.order(2)).state is JobState.QUEUED


# --- what is forgotten ---


def test_what_is_over_and_owes_nothing_is_left_alone(hall: Hall) -> None:
    name = hall.order(1)
    hall.answer(0, {"ready": True}, {"ended": name, "cause": ""}, {"left": "stopped"})
    hall.kill()
    files = [path / "orders" / "events.jsonl" for path in hall.kept]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    hall.open()
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    assert hall.scheduler.look([name]) == {}
    assert len(hall.batches.keys) == 1


def test_how_a_task_ended_is_told_before_it_is_forgotten(hall: Hall) -> None:
    name = hall.order(1)
    hall.answer(0, {"ready": True}, {"ended": name, "cause": "the disk is full"}, {"left": "stopped"})
    hall.turn()
    assert hall.seen(name).cause == "the disk is full"


def test_tasks_and_allocations_are_forgotten_when_nobody_asks_for_them_any_more(hall: Hall) -> None:
    old, other, kept = hall.order(1), hall.order(2), hall.order(3, "south")
    hall.answer(0, {"ready": True}, {"ended": old, "cause": ""}, {"begun": other})
    hall.answer(0, {"left": "out of time"})
    hall.scheduler.look([kept])
    assert hall.seen(old).state is JobState.COMPLETED, "once may be by chance"
    for _ in range(2):
        hall.scheduler.look([kept])
    assert list(hall.scheduler._tasks) == [kept]
    until(lambda: [len(group) for group in hall.scheduler._holdings._groups.values()] == [0, 1])


def test_a_moved_task_is_of_its_last_allocation_for_the_next_process_too(hall: Hall) -> None:
    """Though that has ended: where the task was before, nobody may believe that it is still to be done."""
    name = hall.order(1)
    hall.answer(0, {"ready": True}, {"left": "stopped"})
    assert hall.seen(name).state is JobState.QUEUED
    hall.answer(1, {"ready": True}, {"ended": name, "cause": ""}, {"left": "stopped"})
    hall.kill()
    hall.open()
    assert hall.scheduler.look([name]) == {}
    assert len(hall.batches.keys) == 2


def test_a_task_that_is_still_owed_is_known_to_the_next_process(hall: Hall) -> None:
    name = hall.order(1)
    hall.kill()
    Allocation.at(hall.batches.folders[0]).end("its node failed")
    hall.open()
    hall.turn()
    assert (hall.seen(name).state, hall.seen(name).is_passing) == (JobState.FAILED, True)

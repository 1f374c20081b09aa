"""Batch jobs that are submitted again: how often, from what, and that other attempts harm nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from cluster_tools import (
    TIMES,
    Cluster,
    ends,
    finishes,
    interrupted,
    is_interrupted,
    node_fails,
    numbers,
    tree,
)

from foedus.core.errors import InvalidSpec
from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.launch.cluster import Order


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# --- from a checkpoint ---


def test_an_interrupted_task_goes_on_by_the_next_submission(cluster: Cluster) -> None:
    native_id = cluster.submit()
    status = interrupted(cluster, native_id, 0)
    assert (status.state, status.cause) == (
        JobState.QUEUED,
        "its time was over; it goes on from its checkpoint",
    )
    checkpoint = cluster.attempt(1).open_checkpoint()
    assert checkpoint is not None
    with checkpoint:
        assert checkpoint.read() == b"so far"
    finishes(JobFolder(cluster.folder().path, "attempt-01.00"))
    status = cluster.status(native_id)
    assert (status.state, status.attempt) == (JobState.COMPLETED, 2)
    assert not [name for name in tree(cluster.folder().path) if "checkpoint" in name]


def test_while_the_interrupted_batch_job_has_not_ended_nothing_is_submitted(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.say(JobState.RUNNING)
    is_interrupted(cluster.attempt())
    assert cluster.after_look(native_id, 5).state is JobState.RUNNING
    assert numbers(cluster) == [0]


@pytest.mark.parametrize("survives", [True, False], ids=["one process", "a new process each time"])
def test_continuations_are_bounded(cluster: Cluster, survives: bool) -> None:
    native_id = cluster.submit()
    for number in range(cluster.times.continuations):
        assert interrupted(cluster, native_id, number).state is JobState.QUEUED
        if not survives:
            cluster.resubmit()
    status = interrupted(cluster, native_id, cluster.times.continuations)
    assert status.state is JobState.FAILED
    assert "time" in status.cause
    assert numbers(cluster) == [0, 1, 2, 3]


def test_a_job_done_afresh_may_be_continued_as_often_again(cluster: Cluster) -> None:
    native_id = cluster.submit()
    for number in range(4):
        interrupted(cluster, native_id, number)
    assert cluster.resubmit().state is JobState.QUEUED
    for number in range(4, 7):
        assert interrupted(cluster, native_id, number).state is JobState.QUEUED
    assert interrupted(cluster, native_id, 7).state is JobState.FAILED


def test_retries_do_not_use_up_continuations_nor_the_other_way_round(cluster: Cluster) -> None:
    native_id = cluster.submit()
    for number in range(5):
        if number in (0, 3):
            node_fails(cluster)
            assert cluster.after_look(native_id).state is JobState.QUEUED
        else:
            assert interrupted(cluster, native_id, number).state is JobState.QUEUED
    assert numbers(cluster) == list(range(6))
    node_fails(cluster)
    assert cluster.after_look(native_id).state is JobState.FAILED


@pytest.mark.parametrize("who", ["the scheduler", "the supervisor"])
def test_a_time_limit_ends_what_has_no_checkpoint(cluster: Cluster, who: str) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    if who == "the supervisor":
        ends(attempt, signal=9, is_out_of_time=True)
        cluster.say(JobState.FAILED)
    else:
        cluster.say(JobState.FAILED, cause="time limit reached", out_of_time=True)
    status = cluster.after_look(native_id)
    assert (status.state, "time limit" in status.cause) == (JobState.FAILED, True)
    assert numbers(cluster) == [0]


@pytest.mark.parametrize("who", ["the scheduler", "the supervisor"])
def test_after_a_time_limit_a_task_with_a_new_checkpoint_goes_on(cluster: Cluster, who: str) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    attempt.write_checkpoint([b"so far"])
    if who == "the supervisor":
        ends(attempt, signal=9, is_out_of_time=True)
        cluster.say(JobState.FAILED)
    else:
        cluster.say(JobState.FAILED, cause="time limit reached", out_of_time=True)
    assert cluster.after_look(native_id).state is JobState.QUEUED
    cluster.attempt(1)  # which makes no progress: an old checkpoint is none of its own
    cluster.say(JobState.FAILED, cause="time limit reached", out_of_time=True)
    status = cluster.after_look(native_id)
    assert (status.state, "time limit" in status.cause) == (JobState.FAILED, True)
    assert numbers(cluster) == [0, 1]


def test_a_task_that_went_on_and_then_did_not_even_start_is_not_taken_for_interrupted(
    cluster: Cluster,
) -> None:
    native_id = cluster.submit()
    interrupted(cluster, native_id, 0)
    cluster.say(JobState.FAILED, ended="exited with code 127")
    status = cluster.after_look(native_id)
    assert (status.state, status.cause) == (JobState.FAILED, "exited with code 127")
    assert numbers(cluster) == [0, 1]


def test_an_interrupted_job_that_the_scheduler_has_forgotten_goes_on(cluster: Cluster) -> None:
    native_id = cluster.submit()
    is_interrupted(cluster.attempt())
    cluster.scheduler.forget(cluster.name())
    cluster.resubmit()
    assert cluster.after_look(native_id, 2).state is JobState.QUEUED
    assert numbers(cluster) == [0, 1]


# --- after failures of the cluster ---


@pytest.mark.parametrize("survives", [True, False], ids=["one process", "a new process each time"])
def test_what_the_cluster_did_is_repaired_so_often_and_no_more(cluster: Cluster, survives: bool) -> None:
    native_id = cluster.submit()
    for number in range(cluster.times.retries):
        cluster.attempt(number)
        node_fails(cluster)
        status = cluster.after_look(native_id)
        assert (status.state, status.cause) == (JobState.QUEUED, "next attempt: its node failed")
        if not survives:
            cluster.resubmit()
    node_fails(cluster)
    assert cluster.after_look(native_id).state is JobState.FAILED
    assert numbers(cluster) == [0, 1, 2]
    assert cluster.status(native_id).cause == "its node failed"


def test_a_failure_of_the_task_itself_is_not_repaired(cluster: Cluster) -> None:
    native_id = cluster.submit()
    ends(cluster.attempt(), code=42)
    cluster.say(JobState.FAILED)
    assert cluster.after_look(native_id).state is JobState.FAILED
    assert numbers(cluster) == [0]


def test_a_scheduler_that_goes_down_in_between_uses_up_no_retry(cluster: Cluster) -> None:
    """The submission before is to be stopped first, and that cannot be told."""
    native_id = cluster.submit()
    for _ in range(cluster.times.retries):
        cancel = cluster.scheduler.cancel

        def dead(name: str, scheduler_id: str) -> None:
            cluster.scheduler.is_down = True
            cancel(name, scheduler_id)  # noqa: B023

        for _ in range(4):
            cluster.scheduler.cancel = dead  # type: ignore[method-assign]
            node_fails(cluster)
            status = cluster.after_look(native_id)
            assert status.state is JobState.UNKNOWN
            assert "its node failed; to be queued later: the scheduler does not answer" in status.cause
            cluster.scheduler.is_down = False
        cluster.scheduler.cancel = cancel  # type: ignore[method-assign]
        assert cluster.after_look(native_id, 2).state is JobState.QUEUED
    assert numbers(cluster) == [0, 1, 2]


def test_the_submission_before_is_stopped_first(cluster: Cluster) -> None:
    """A scheduler may hold what it could not run, to start it some time."""
    native_id = cluster.submit()
    node_fails(cluster)
    cluster.look()
    assert cluster.scheduler.cancels == [f"{native_id}-0"]


def test_a_refusal_of_the_next_submission_ends_it(cluster: Cluster) -> None:
    native_id = cluster.submit()
    node_fails(cluster)
    cluster.scheduler.refuses = "the partition was removed"
    status = cluster.after_look(native_id)
    assert (status.state, status.cause) == (
        JobState.FAILED,
        "the scheduler refuses it: the partition was removed",
    )


def test_the_next_submissions_answer_may_be_lost_as_well(cluster: Cluster) -> None:
    native_id = cluster.submit()
    node_fails(cluster)
    cluster.scheduler.loses_answers = True
    cluster.scheduler.cancel = lambda name, scheduler_id: None  # type: ignore[method-assign]
    assert cluster.after_look(native_id).state is JobState.UNKNOWN
    cluster.scheduler.loses_answers = False
    assert cluster.after_look(native_id, 4).state is JobState.QUEUED
    assert numbers(cluster) == [0, 1]


# --- forgotten ---


def test_what_the_scheduler_has_forgotten_is_lost_after_a_while(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.look()
    cluster.attempt()
    cluster.scheduler.forget(cluster.name())
    began = cluster.clock.now
    while not (status := cluster.after_look(native_id, seconds=10.0)).state.is_final:
        assert (status.state, status.cause) == (
            JobState.UNKNOWN,
            "the scheduler does not know the batch job, and it left no result yet",
        )
    assert status.state is JobState.LOST
    assert cluster.clock.now - began == pytest.approx(cluster.times.lost_s, abs=21)
    assert cluster.resubmit().state is JobState.QUEUED
    assert numbers(cluster) == [0, 1]


def test_what_comes_back_is_not_lost(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.look()
    batch = cluster.scheduler.jobs[cluster.name()]
    for _ in range(5):
        cluster.scheduler.forget(cluster.name())
        assert cluster.after_look(native_id, 10, seconds=10.0).state is JobState.UNKNOWN
        cluster.scheduler.jobs[cluster.name()] = batch
        assert cluster.after_look(native_id).state is JobState.QUEUED


def test_time_in_which_the_scheduler_does_not_answer_makes_nothing_lost(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.look()
    cluster.scheduler.forget(cluster.name())
    cluster.look()
    cluster.scheduler.is_down = True
    cluster.look(20, seconds=60.0)
    cluster.scheduler.is_down = False
    assert cluster.after_look(native_id).state is JobState.UNKNOWN


def test_a_result_that_comes_after_all_counts_for_the_next_process(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.look()
    attempt = cluster.attempt()
    cluster.scheduler.forget(cluster.name())
    assert cluster.after_look(native_id, 2, seconds=TIMES.lost_s).state is JobState.LOST
    finishes(attempt)
    assert cluster.status(native_id).state is JobState.LOST  # what is final stays
    assert cluster.resubmit().state is JobState.COMPLETED


def test_what_can_no_longer_be_had_is_told_by_the_state(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(order: Order) -> str:
        raise InvalidSpec("there is no such queue any more")

    native_id, other = cluster.submit(), cluster.submit("other")
    cluster.look()
    monkeypatch.setattr(cluster.scheduler, "submit", refuse)
    node_fails(cluster)
    status = cluster.after_look(native_id)
    assert (status.state, status.cause) == (
        JobState.FAILED,
        "it cannot be submitted again: there is no such queue any more",
    )
    assert cluster.status(other).state is JobState.QUEUED


# --- after it was cancelled ---


def cancelled_by_command(cluster: Cluster) -> None:
    """Note in the journal what `foedus job cancel` notes there."""
    replace(cluster.journal(), is_cancelled=True).write(cluster.folder())


@pytest.mark.parametrize("who", ["us", "the command", "somebody else"])
def test_what_was_cancelled_before_is_done_afresh_by_the_process_that_takes_it_up(
    cluster: Cluster, who: str
) -> None:
    native_id = cluster.submit(memory_mb=100)
    cluster.look()
    attempt = cluster.attempt()
    attempt.write_checkpoint([b"so far"])
    if who == "us":
        cluster.launcher.cancel(native_id)
    elif who == "the command":
        cancelled_by_command(cluster)
    cluster.say(JobState.CANCELLED)
    cluster.begin_process()
    cluster.submit(memory_mb=200)
    status = cluster.after_look(native_id)
    assert (status.state, status.scheduler_id) == (JobState.QUEUED, "2")
    assert numbers(cluster) == [0, 1]
    assert not cluster.journal().is_cancelled
    assert cluster.folder().read_note()["resources"]["memory_mb"] == 200  # type: ignore[index, call-overload]
    checkpoint = cluster.attempt(1).open_checkpoint()
    assert checkpoint is not None
    checkpoint.close()
    cluster.say(JobState.CANCELLED)
    assert cluster.after_look(native_id).state is JobState.CANCELLED  # and that is for good


def test_what_was_cancelled_before_is_not_done_twice_at_a_time(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.say(JobState.RUNNING)
    cancelled_by_command(cluster)
    cluster.begin_process()
    cluster.submit()
    cluster.say(JobState.RUNNING)
    status = cluster.after_look(native_id)
    assert (status.state, status.cause) == (
        JobState.UNKNOWN,
        "it was cancelled; it is submitted again once it has ended",
    )
    assert numbers(cluster) == [0]
    assert cluster.scheduler.cancels == [f"{native_id}-0"]  # it may not have been told before
    assert cluster.after_look(native_id).state is JobState.QUEUED
    assert numbers(cluster) == [0, 1]


def test_a_result_of_what_was_cancelled_counts(cluster: Cluster) -> None:
    cluster.submit()
    cancelled_by_command(cluster)
    finishes(cluster.attempt())
    assert cluster.resubmit().state is JobState.COMPLETED
    assert numbers(cluster) == [0]


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_was_cancelled_and_then_forgotten_is_done_afresh(cluster: Cluster, is_sent: bool) -> None:
    cluster.scheduler.loses_orders = not is_sent
    native_id = cluster.submit()
    cluster.scheduler.loses_orders = False
    if is_sent:
        cluster.scheduler.forget(cluster.name())
    cancelled_by_command(cluster)
    cluster.resubmit()
    assert cluster.after_look(native_id, 2).state is JobState.QUEUED
    assert numbers(cluster) == ([0, 1] if is_sent else [1])


def test_what_was_forgotten_while_nobody_looked_is_done_afresh(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.scheduler.forget(cluster.name())
    cluster.resubmit()
    assert cluster.after_look(native_id).state is JobState.UNKNOWN
    assert cluster.after_look(native_id, seconds=TIMES.lost_s).state is JobState.QUEUED
    assert numbers(cluster) == [0, 1]


@pytest.mark.parametrize("is_noted", [True, False])
def test_whoever_waits_is_told_who_cancelled_it(cluster: Cluster, is_noted: bool) -> None:
    native_id = cluster.submit()
    cluster.resubmit()
    cluster.say(JobState.RUNNING)
    cluster.look()
    if is_noted:
        cancelled_by_command(cluster)
        cluster.attempt().fail(ValueError("killed"))  # what a task says of that is of no interest
    cluster.say(JobState.CANCELLED)
    status = cluster.after_look(native_id)
    own = "cancelled by `foedus job cancel`"
    assert (status.state, status.cause) == (
        JobState.CANCELLED,
        own if is_noted else "cancelled by somebody else",
    )
    assert cluster.journal().is_cancelled is is_noted

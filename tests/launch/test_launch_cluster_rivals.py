"""Two attempts of a batch job at a time: one counts, the other is stopped and harms nothing."""

from pathlib import Path

import pytest
from cluster_tools import Cluster, ends, finishes, node_fails, tree

from foedus.core.records import JobState


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# --- two attempts at a time ---


def test_of_two_attempts_one_is_taken_over_and_the_other_is_stopped(cluster: Cluster) -> None:
    native_id = cluster.submit()
    old, new = cluster.attempt(0, 0), cluster.attempt(0, 1)
    cluster.say(JobState.RUNNING)
    old.write_memory([b"of the old one"])
    finishes(new, "new")
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.scheduler.cancels == []  # the newest of all is about to end anyway
    with pytest.raises(FileNotFoundError):
        finishes(old, "old")
    assert set(tree(cluster.folder().path).values()) >= {b"new"}
    assert b"of the old one" not in tree(cluster.folder().path).values()


def test_the_newer_attempt_is_stopped_when_the_old_one_comes_first(cluster: Cluster) -> None:
    native_id = cluster.submit()
    old, new = cluster.attempt(0, 0), cluster.attempt(0, 1)
    new.write_memory([b"of the new one"])
    finishes(old, "old")
    status = cluster.status(native_id)
    assert (status.state, status.attempt) == (JobState.COMPLETED, 1)
    assert cluster.scheduler.cancels == [f"{native_id}-0"]
    with pytest.raises(FileNotFoundError):
        finishes(new, "new")
    assert cluster.folder().read_result() == {"words": "old"}
    assert cluster.resubmit().state is JobState.COMPLETED
    assert cluster.folder().read_result() == {"words": "old"}


@pytest.mark.parametrize("has_begun", [True, False], ids=["that runs", "that waits"])
def test_the_next_submission_is_stopped_when_the_old_attempt_comes_late(
    cluster: Cluster, has_begun: bool
) -> None:
    native_id = cluster.submit()
    lost = cluster.attempt(0)
    node_fails(cluster)
    cluster.look()
    if has_begun:
        cluster.attempt(1)
    finishes(lost, "late")
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.scheduler.cancels[-1] == f"{native_id}-1"
    assert cluster.folder().read_result() == {"words": "late"}


def test_an_old_attempt_that_fails_late_harms_nothing(cluster: Cluster) -> None:
    native_id = cluster.submit()
    lost = cluster.attempt(0)
    node_fails(cluster)
    cluster.look()
    new = cluster.attempt(1)
    cluster.say(JobState.RUNNING)
    lost.fail(ValueError("the disk was gone"))
    ends(lost, code=1)
    assert cluster.after_look(native_id, 2).state is JobState.RUNNING
    assert cluster.resubmit().state is JobState.UNKNOWN
    assert cluster.after_look(native_id).state is JobState.RUNNING
    finishes(new)
    assert cluster.status(native_id).state is JobState.COMPLETED


def test_two_results_at_once_are_one(cluster: Cluster) -> None:
    native_id = cluster.submit()
    finishes(cluster.attempt(0, 0), "first")
    finishes(cluster.attempt(0, 1), "second")
    assert cluster.status(native_id).state is JobState.COMPLETED
    files = tree(cluster.folder().path)
    del files["exit.json"]
    assert files.pop("result.json") == b'{"words":"first"}\n'
    assert set(files.values()) == {b"first"}


def test_a_rival_is_stopped_also_when_the_scheduler_was_down_at_that_moment(cluster: Cluster) -> None:
    native_id = cluster.submit()
    old, _ = cluster.attempt(0, 0), cluster.attempt(0, 1)
    cluster.scheduler.is_down = True
    finishes(old, "old")
    assert cluster.status(native_id).state is JobState.COMPLETED
    cluster.look(3)
    assert cluster.scheduler.cancels == []
    cluster.scheduler.is_down = False
    cluster.look()
    assert cluster.scheduler.cancels == [f"{native_id}-0"]
    looks = cluster.scheduler.looks
    cluster.look_if_asked()
    assert cluster.scheduler.looks == looks  # nothing is left to ask about


def test_a_new_process_stops_a_rival_as_well(cluster: Cluster) -> None:
    native_id = cluster.submit()
    old, _ = cluster.attempt(0, 0), cluster.attempt(0, 1)
    finishes(old, "old")
    assert cluster.resubmit().state is JobState.COMPLETED
    assert cluster.scheduler.cancels == [f"{native_id}-0"]


def test_a_rival_is_stopped_by_the_next_process_where_ours_was_killed_before(cluster: Cluster) -> None:
    cluster.submit()
    cluster.look()
    old = cluster.attempt(0)
    node_fails(cluster)
    cluster.look()
    cluster.attempt(1)
    cluster.say(JobState.RUNNING)
    cluster.look()
    finishes(old)
    cluster.scheduler.is_down = True
    cluster.look_if_asked()
    rival = cluster.name()
    assert rival not in cluster.scheduler.cancels
    cluster.scheduler.is_down = False
    assert cluster.resubmit().state is JobState.COMPLETED
    assert cluster.scheduler.cancels.count(rival) == 1
    cluster.resubmit()
    assert cluster.scheduler.cancels.count(rival) == 1

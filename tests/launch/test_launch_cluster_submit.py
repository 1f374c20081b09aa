"""A batch job is submitted exactly once, whatever happens between journal, scheduler and answer."""

import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from cluster_tools import Cluster, Mortal, ends, finishes, tree

from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# --- the scheduler does not answer ---


def test_an_order_whose_answer_was_lost_is_found_again_by_its_name(cluster: Cluster) -> None:
    cluster.scheduler.loses_answers = True
    native_id = cluster.submit()
    assert cluster.status(native_id).state is JobState.UNKNOWN
    assert "answer was lost" in cluster.status(native_id).cause
    cluster.scheduler.loses_answers = False
    status = cluster.after_look(native_id)
    assert (status.state, status.scheduler_id) == (JobState.QUEUED, "1")
    assert cluster.journal().scheduler_id == "1"
    cluster.look(5)
    assert cluster.scheduler.submissions == [cluster.name()]


def test_an_order_that_was_lost_is_given_again_after_two_answers(cluster: Cluster) -> None:
    cluster.scheduler.loses_orders = True
    native_id = cluster.submit()
    cluster.scheduler.loses_orders = False
    assert cluster.after_look(native_id).state is JobState.UNKNOWN
    assert cluster.scheduler.submissions == []
    assert cluster.after_look(native_id).state is JobState.QUEUED
    cluster.look(5)
    assert cluster.scheduler.submissions == [cluster.name()]


def test_what_cannot_be_submitted_is_submitted_once_when_the_scheduler_is_back(cluster: Cluster) -> None:
    cluster.scheduler.is_down = True
    ids = [cluster.submit(name) for name in ("a", "b")]
    for _ in range(20):
        cluster.look()
        assert {cluster.status(native_id).state for native_id in ids} == {JobState.UNKNOWN}
    cluster.scheduler.is_down = False
    cluster.look(10)
    assert {cluster.status(native_id).state for native_id in ids} == {JobState.QUEUED}
    assert sorted(cluster.scheduler.submissions) == sorted([cluster.name("a"), cluster.name("b")])


def test_while_the_scheduler_is_known_to_be_down_nothing_else_is_tried(cluster: Cluster) -> None:
    """Each try may take many seconds of whoever submits."""
    cluster.scheduler.is_down = True
    cluster.submit("a")
    tried = []
    cluster.scheduler.submit = lambda order: tried.append(order)  # type: ignore[method-assign,func-returns-value]
    cluster.scheduler.cancel = lambda name, scheduler_id: tried.append(name)  # type: ignore[method-assign]
    cluster.launcher.cancel(cluster.submit("b"))
    cluster.look(3)
    assert tried == []


def test_a_job_that_ran_and_was_forgotten_before_we_heard_of_it_is_not_submitted_again(
    cluster: Cluster,
) -> None:
    cluster.scheduler.loses_answers = True
    native_id = cluster.submit()
    cluster.scheduler.forget(cluster.name())
    attempt = cluster.attempt()
    assert cluster.after_look(native_id, 5).state is JobState.UNKNOWN
    ends(attempt, code=3)
    status = cluster.after_look(native_id)
    assert (status.state, "exited with code 3" in status.cause) == (JobState.FAILED, True)
    assert len(cluster.scheduler.submissions) == 1


def test_a_refusal_is_told_and_not_repeated(cluster: Cluster) -> None:
    cluster.scheduler.refuses = "invalid partition"
    native_id = cluster.submit()
    status = cluster.status(native_id)
    assert (status.state, status.cause) == (
        JobState.FAILED,
        "the scheduler refuses it: invalid partition",
    )
    cluster.scheduler.refuses = ""
    cluster.look_if_asked()
    assert cluster.scheduler.submissions == []
    assert cluster.resubmit().state is JobState.QUEUED
    assert cluster.scheduler.submissions == [cluster.name()]


def test_what_can_never_be_had_is_refused_before_anything_is_written(cluster: Cluster) -> None:
    with pytest.raises(InvalidSpec, match="unfit"):
        cluster.submit(queue="unfit")  # type: ignore[arg-type]
    assert os.listdir(cluster.folder().path) == ["spec.json"]
    assert cluster.launcher.find("job") is None


@pytest.mark.parametrize("walltime_s", [0.0, -1.0, float("nan")])
def test_a_time_limit_must_be_above_zero(cluster: Cluster, walltime_s: float) -> None:
    with pytest.raises(InvalidSpec):
        cluster.submit(walltime_s=walltime_s)


def test_a_closed_launcher_takes_nothing_and_still_answers(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.look()
    with cluster.launcher:
        pass
    cluster.launcher.close()
    assert cluster.status(native_id).state is JobState.QUEUED
    looks = cluster.scheduler.looks
    cluster.clock.now += 1000
    cluster.status(native_id)
    assert cluster.scheduler.looks == looks
    with pytest.raises(RuntimeError):
        cluster.submit("b")


# --- killed ---


def life(cluster: Cluster, mortal: Mortal) -> JobState:
    """Submit the job and wait for its end; nodes run whatever the scheduler has and has not run yet."""
    native_id = cluster.submit()
    for _ in range(6):
        with mortal.elsewhere():
            run_accepted(cluster)
        cluster.look_if_asked()
    return cluster.status(native_id).state


def run_accepted(cluster: Cluster) -> None:
    for name, batch in cluster.scheduler.jobs.items():
        if batch.end is None:
            finishes(cluster.attempt(int(name.rpartition("-")[2])), name)
            cluster.scheduler.say(name, JobState.COMPLETED)


@pytest.mark.slow
def test_killed_anywhere_it_is_submitted_once_and_has_one_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal = Mortal(monkeypatch)
    for effects in count(1):
        cluster = Cluster(tmp_path / str(effects))
        has_died = mortal.dies(effects, cluster.scheduler, lambda: life(cluster, mortal))  # noqa: B023
        mortal.effects_left = 10**6
        cluster.begin_process()
        assert life(cluster, mortal) is JobState.COMPLETED
        assert cluster.scheduler.submissions == [cluster.name()]
        assert set(tree(cluster.folder().path)) == {
            *("exit.json", "memory.safetensors", "output/file", "result.json"),
            *("state.parts", "update.safetensors"),
        }
        assert cluster.folder().read_result() == {"words": cluster.name()}
        assert cluster.resubmit().state is JobState.COMPLETED
        if not has_died:
            break
    assert effects > 20


@pytest.mark.slow
def test_killed_again_and_again_it_is_submitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process dies after two effects more than the last, so each gets a bit further."""
    mortal, cluster = Mortal(monkeypatch), Cluster(tmp_path)
    for effects in count(1):
        cluster.begin_process()
        if not mortal.dies(effects, cluster.scheduler, lambda: life(cluster, mortal)):
            break
    assert cluster.scheduler.submissions == [cluster.name()]
    assert cluster.folder().read_result() == {"words": cluster.name()}


@pytest.mark.slow
def test_killed_anywhere_while_it_is_submitted_again_it_is_submitted_twice_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal = Mortal(monkeypatch)
    for effects in count(1):
        cluster = Cluster(tmp_path / str(effects), times=replace(Cluster(tmp_path).times, retries=1))
        cluster.submit()
        cluster.say(JobState.FAILED, cause="its node failed", is_passing=True)
        has_died = mortal.dies(effects, cluster.scheduler, lambda: cluster.look(3))  # noqa: B023
        native_id = NativeId(cluster.journal().name)
        assert cluster.resubmit().native_id == native_id
        assert cluster.after_look(native_id, 5).state is JobState.QUEUED
        assert cluster.scheduler.submissions == [f"{native_id}-0", f"{native_id}-1"]
        cluster.say(JobState.FAILED, cause="its node failed", is_passing=True)
        assert cluster.after_look(native_id).state is JobState.FAILED  # the count has survived
        if not has_died:
            break
    assert effects > 5

"""The scheduler and a fake API server that works: lists, submissions, logs, cancelling."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.kubernetes.fake_api import FakeApi, Fault
from tests.kubernetes.makers import order, until

from foedus.core.records import JobState
from foedus.launch.cluster import Refused, Unreachable
from foedus.launch.kubernetes import KubernetesScheduler

# --- lists ---


def test_all_pages_are_read_and_begun_again_when_they_expire(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    api.largest_page, api.cluster.gpus = 2, 0
    api.cluster.unschedulable = "0/1 nodes are available"
    orders = [order(tmp_path, number) for number in range(5)]
    for wanted in orders:
        scheduler.submit(wanted)
    names = {wanted.name for wanted in orders}
    assert scheduler.look(names).keys() == names
    api.expiring = 1
    assert scheduler.look(names).keys() == names
    assert api.expiring == 0
    api.expiring = 1000
    with pytest.raises(Unreachable, match="410"):
        scheduler.look(names)


def test_many_jobs_are_asked_for_by_one_short_question(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    scheduler.submit(wanted)
    api.requests.clear()
    others = {f"foedus-{number:024}-1" for number in range(500)}
    assert scheduler.look(others | {wanted.name}).keys() == {wanted.name}
    assert all(len(request) < 300 for request in api.requests)


def test_about_no_jobs_nothing_is_asked(api: FakeApi, scheduler: KubernetesScheduler) -> None:
    assert scheduler.look([]) == {}
    assert api.requests == []


def test_a_running_job_costs_one_question(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    scheduler.submit(wanted)
    until(lambda: scheduler.look([wanted.name])[wanted.name].state is JobState.RUNNING)
    until(lambda: api.cluster.jobs[wanted.name]["status"].get("ready") == 1)
    api.requests.clear()
    scheduler.look([wanted.name])
    assert len(api.requests) == 1
    assert "/jobs?" in api.requests[0]


# --- submitting ---


def test_submitting_twice_is_submitting_once(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    uid = scheduler.submit(wanted)
    assert scheduler.submit(wanted) == uid
    assert len(api.cluster.jobs) == 1


def test_a_job_whose_answer_was_lost_is_found_again(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    api.faults.append(Fault("drop", methods=("POST",), times=1))
    with pytest.raises(Unreachable):
        scheduler.submit(wanted)
    uid = api.cluster.jobs[wanted.name]["metadata"]["uid"]
    assert scheduler.look([wanted.name])[wanted.name].scheduler_id == uid
    assert scheduler.submit(wanted) == uid


def test_a_foreign_job_of_the_same_name_is_not_taken_for_ours(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    scheduler.submit(wanted)
    (tmp_path / "other").mkdir()
    with pytest.raises(Refused, match="not ours"):
        scheduler.submit(replace(wanted, folder=str(tmp_path / "other")))


# --- logs and cancelling ---


def test_the_log_is_the_end_of_the_pods_output(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path, argv=("/bin/sh", "-c", 'seq 100000; echo "$0"; sleep 1000', "last words"))
    assert scheduler.log(wanted.name, "") == ""
    api.cluster.waiting = ("ContainerCreating", "")
    scheduler.submit(wanted)
    until(lambda: bool(api.cluster.pods))
    assert scheduler.log(wanted.name, "") == ""
    api.cluster.waiting = None
    until(lambda: scheduler.log(wanted.name, "").endswith("\n100000\nlast words\n"))
    assert len(scheduler.log(wanted.name, "")) <= 64 << 10


def test_a_cancelled_job_runs_until_its_pod_is_gone(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path, argv=("/bin/sh", "-c", "trap '' TERM; sleep 1000"))
    scheduler.submit(wanted)
    until(lambda: scheduler.look([wanted.name])[wanted.name].state is JobState.RUNNING)
    scheduler.cancel(wanted.name, "")
    assert scheduler.look([wanted.name])[wanted.name].cause == "being stopped"
    until(lambda: scheduler.look([wanted.name])[wanted.name].state is JobState.CANCELLED)
    assert api.cluster.pods == {}
    scheduler.cancel(wanted.name, "")

"""What goes wrong on clusters, on a fake one: right words, one outcome, nothing submitted twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.kubernetes.batch import PROGRAM, TIMES, Batch, batch, created
from tests.kubernetes.fake_api import FakeApi
from tests.kubernetes.fake_kubelet import is_ending
from tests.kubernetes.makers import until

from foedus.core.ids import NativeId
from foedus.core.records import JobState

pytestmark = pytest.mark.slow
RUNNING, QUEUED = JobState.RUNNING, JobState.QUEUED


@pytest.fixture
def jobs(api: FakeApi, tmp_path: Path) -> Iterator[Batch]:
    with batch(api, tmp_path) as opened:
        yield opened


# --- how single batch jobs end ---


def test_each_end_has_its_words_and_none_is_a_success(api: FakeApi, jobs: Batch) -> None:
    ids = {name: jobs.submit(name, {"do": name}) for name in ("exit 42", "crash")}
    ids |= {name: jobs.submit(name, {"do": "sleep"}) for name in ("eats", "fills", "stopped", "deleted")}
    ids["slow"] = jobs.submit("slow", {"do": "sleep"}, walltime_s=0.5)
    for name in ("eats", "fills", "stopped", "deleted"):
        jobs.wait(ids[name], RUNNING)
    api.cluster.exhaust_memory(jobs.name(ids["eats"]))
    api.cluster.fail(
        jobs.name(ids["fills"]), "Evicted", 'Usage of EmptyDir volume "scratch" exceeds the limit'
    )
    jobs.launcher.cancel(ids["stopped"])
    with api.cluster.lock:
        api.cluster.delete(jobs.name(ids["deleted"]), "Background")
    ends = {name: jobs.wait(native_id) for name, native_id in ids.items()}
    words = {
        "exit 42": (JobState.FAILED, "exited with code 42"),
        "crash": (JobState.FAILED, "segmentation fault"),
        "eats": (JobState.FAILED, "out of memory"),
        "fills": (JobState.FAILED, "more scratch space than scratch_mb"),
        "slow": (JobState.FAILED, "time limit of 0.5 s reached"),
        "stopped": (JobState.CANCELLED, "cancelled"),
        "deleted": (JobState.CANCELLED, "deleted by somebody else"),
    }
    assert {name: end.state for name, end in ends.items()} == {
        name: state for name, (state, _) in words.items()
    }
    for name, (_, expected) in words.items():
        assert expected in ends[name].cause
        assert jobs.folders[ids[name]].read_result() is None
    assert created(api) == len(ids)


def test_a_program_that_is_not_in_the_image_is_told_of(api: FakeApi, tmp_path: Path) -> None:
    for python, words in (
        ("/nowhere/python", "its program cannot be started"),
        ("/bin/false", "exited with code 1"),
    ):
        with batch(api, tmp_path, program=replace(PROGRAM, python=python)) as jobs:
            end = jobs.wait(jobs.submit(python.replace("/", "-"), {"do": "tell"}))
            assert end.state is JobState.FAILED
            assert words in end.cause


def test_the_output_of_a_pod_that_did_not_get_far_is_part_of_the_cause(api: FakeApi, tmp_path: Path) -> None:
    with batch(api, tmp_path, prologue="echo 'no such licence' >&2\nexit 7\n") as jobs:
        native_id = jobs.submit("job", {"do": "tell"})
        end = jobs.wait(native_id)
        assert (end.state, end.cause) == (
            JobState.FAILED,
            "exited with code 7; its last output:\nno such licence",
        )
        assert jobs.launcher.logs(native_id) == "no such licence\n"


def test_the_prologue_runs_before_the_program(api: FakeApi, tmp_path: Path) -> None:
    text = "echo \"$0 '$(echo unchanged)'\"\n"
    with batch(api, tmp_path, prologue=text) as jobs:
        native_id = jobs.submit('it\'s $(HOME) "here"', {"do": "tell"})
        name = jobs.name(native_id)
        jobs.wait(native_id)
        assert jobs.result(native_id)["path"] == str(tmp_path / 'it\'s $(HOME) "here"')
        pod = api.cluster.pod(name)["metadata"]["name"]
        assert api.cluster.log_of(pod) == b"foedus 'unchanged'\n"


# --- what the cluster does ---


def test_a_disrupted_job_goes_on_from_its_checkpoint(api: FakeApi, jobs: Batch) -> None:
    native_id = jobs.submit("job", {"do": "count", "to": 30})
    until(lambda: jobs.has_checkpoint(native_id))
    api.cluster.disrupt(jobs.name(native_id), "PreemptionByScheduler")
    end = jobs.wait(native_id)
    assert (end.state, end.attempt) == (JobState.COMPLETED, 2)
    result = jobs.result(native_id)
    assert (result["number"], result["attempt"]) == (30, "attempt-00.01")
    assert 0 < int(str(result["first"])) < 30
    assert created(api) == 1, "Kubernetes itself made the second pod"


def test_an_evicted_job_is_submitted_again_but_not_for_ever(api: FakeApi, jobs: Batch) -> None:
    native_id = jobs.submit("job", {"do": "sleep"})
    for number in range(TIMES.retries + 1):
        until(lambda number=number: jobs.name(native_id).endswith(f"-{number}"))  # type: ignore[misc]
        jobs.wait_until(native_id, lambda status: status.state is RUNNING and _is_under_way(jobs, native_id))
        api.cluster.fail(jobs.name(native_id), "Evicted", "The node was low on resource: memory.")
        jobs.wait_until(native_id, lambda status: status.state is not RUNNING)
    end = jobs.wait(native_id)
    assert end.state is JobState.FAILED
    assert "evicted by its node" in end.cause
    assert created(api) == TIMES.retries + 1


def _is_under_way(jobs: Batch, native_id: NativeId) -> bool:
    """Whether a pod of the newest submission runs that nobody has asked to end."""
    cluster = jobs.api.cluster
    with cluster.lock:
        job = cluster.jobs.get(jobs.name(native_id))
        pods = cluster.pods_of(job) if job is not None else []
        return any(pod["status"]["phase"] == "Running" and not is_ending(pod) for pod in pods)


def test_of_two_copies_after_a_lost_node_one_counts(api: FakeApi, jobs: Batch) -> None:
    native_id = jobs.submit("job", {"do": "count", "to": 60})
    until(lambda: jobs.has_checkpoint(native_id))
    first = jobs.name(native_id)
    old = api.cluster.lose_node(first)
    jobs.wait_until(native_id, lambda status: jobs.name(native_id) != first)
    assert "its node does not answer any more" in " ".join(status.cause for status in jobs.seen[native_id])
    assert first not in api.cluster.jobs, "it must not begin again when its node comes back"
    assert old.process.poll() is None, "the old copy still runs"
    end = jobs.wait(native_id)
    assert end.state is JobState.COMPLETED
    assert jobs.result(native_id)["number"] == 60
    assert created(api) == 2


def test_disruptions_without_end_come_to_one(api: FakeApi, tmp_path: Path) -> None:
    with batch(api, tmp_path, replace(TIMES, retries=0), restarts=1) as jobs:
        native_id = jobs.submit("job", {"do": "sleep"})
        for number in range(1, 20):
            folder, cluster = jobs.folders[native_id], api.cluster
            end = jobs.wait_until(native_id, lambda s: s.state.is_final or _is_under_way(jobs, native_id))
            if end.state.is_final:
                break
            until(lambda: len(folder.attempts()) >= number)  # noqa: B023
            cluster.disrupt(jobs.name(native_id), "EvictionByEvictionAPI")
        assert end.state is JobState.FAILED
        assert end.cause.startswith("disrupted by the cluster more than 1 times")
        until(lambda: not api.cluster.jobs)


def test_a_job_whose_time_is_over_goes_on_in_the_next(api: FakeApi, jobs: Batch) -> None:
    native_id = jobs.submit("job", {"do": "count", "to": 40}, walltime_s=2.0)
    end = jobs.wait(native_id)
    assert end.state is JobState.COMPLETED
    assert jobs.result(native_id)["number"] == 40
    assert created(api) > 1


# --- waiting ---


def test_the_fifth_job_waits_for_gpus_and_then_runs(api: FakeApi, jobs: Batch) -> None:
    ids = [jobs.submit(f"job {number}", {"do": "sleep"}, gpus=2) for number in range(5)]
    fifth = jobs.wait_until(ids[4], lambda status: "not enough" in status.cause)
    assert fifth.cause == "waiting for resources: not enough free nvidia.com/gpu"
    assert [jobs.wait(native_id, RUNNING).state for native_id in ids[:4]] == [RUNNING] * 4
    assert fifth.state is QUEUED
    jobs.launcher.cancel(ids[0])
    assert jobs.wait(ids[4], RUNNING).state is RUNNING


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"claims": {}}, "the volume's claim does not exist"),
        ({"waiting": ("ImagePullBackOff", "no such image")}, "its image cannot be pulled: no such image"),
        ({"pod_refusal": "is forbidden: exceeded quota: q"}, "waiting: a quota of the namespace is used up"),
        ({"unschedulable": "0/1 nodes: 1 Insufficient cpu."}, "waiting for resources: not enough free CPUs"),
    ],
)
def test_waiting_jobs_say_what_for_and_can_be_cancelled(
    spoil: dict[str, object], words: str, api: FakeApi, jobs: Batch
) -> None:
    if "claims" in spoil:
        api.cluster.claims.clear()
    else:
        vars(api.cluster).update(spoil)
    native_id = jobs.submit("job", {"do": "tell"})
    status = jobs.wait_until(native_id, lambda status: words in status.cause)
    assert status.state is QUEUED
    jobs.launcher.cancel(native_id)
    assert (jobs.wait(native_id).state, jobs.wait(native_id).cause) == (JobState.CANCELLED, "cancelled")


def test_a_mount_that_fails_is_told_by_its_event(api: FakeApi, jobs: Batch) -> None:
    api.cluster.waiting = ("ContainerCreating", "")
    native_id = jobs.submit("job", {"do": "tell"})
    jobs.wait_until(native_id, lambda status: status.cause == "its container is being made")
    api.cluster.warn(api.cluster.pod(jobs.name(native_id))["metadata"]["name"], "FailedMount", "timed out")
    status = jobs.wait_until(native_id, lambda status: "mounted" in status.cause)
    assert status.cause == "cannot start: its volume cannot be mounted: timed out"
    api.cluster.waiting = None
    assert jobs.wait(native_id).state is JobState.COMPLETED


def test_kueue_holds_a_job_back_and_takes_it_back(api: FakeApi, jobs: Batch) -> None:
    api.cluster.has_kueue = True
    native_id = jobs.submit("job", {"do": "count", "to": 30}, queue="team-a")
    name = jobs.name(native_id)
    status = jobs.wait_until(native_id, lambda status: "queue" in status.cause)
    assert (status.state, status.cause) == (QUEUED, "waiting in queue team-a")
    api.cluster.set_suspended(name, False)
    jobs.wait(native_id, RUNNING)
    until(lambda: jobs.has_checkpoint(native_id))
    api.cluster.set_suspended(name, True)
    jobs.wait_until(native_id, lambda status: status.state is QUEUED)
    until(lambda: not api.cluster.pods)
    api.cluster.set_suspended(name, False)
    assert jobs.wait(native_id).state is JobState.COMPLETED
    assert int(str(jobs.result(native_id)["first"])) > 0


def test_nothing_is_left_running(api: FakeApi, jobs: Batch) -> None:
    """A cancelled job's processes, those that its task started included, are gone when it is `CANCELLED`."""
    native_id = jobs.submit("job", {"do": "sleep"})
    jobs.wait(native_id, RUNNING)
    until(lambda: jobs.folders[native_id].read_log() != "")
    process = psutil.Process(api.cluster.running(jobs.name(native_id)).process.pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) > 1
    jobs.launcher.cancel(native_id)
    assert jobs.wait(native_id).state is JobState.CANCELLED
    until(lambda: not any(member.is_running() for member in family))

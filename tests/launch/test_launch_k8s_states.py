"""What Jobs say, in our terms; which further questions they make necessary; hostile answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k8s_objects import NOW, ago, condition, ended, job, pod, sight, waiting

from foedus.core.records import JobState
from foedus.launch.kubernetes._json import number, text, time_of
from foedus.launch.kubernetes.states import is_finished, is_plain, is_stuck, orphaned, seen


def test_only_complete_means_completed() -> None:
    assert sight(ended("Complete")).state is JobState.COMPLETED
    almost = job({"conditions": [condition("SuccessCriteriaMet", "True")]})
    assert sight(almost, pod("Succeeded")).state is JobState.RUNNING
    denied = job({"conditions": [condition("Complete", "False")], "succeeded": 1})
    assert sight(denied, pod("Succeeded")).state is JobState.RUNNING


def test_a_ready_pod_runs() -> None:
    found = sight(job({"active": 1, "ready": 1}))
    assert (found.state, found.native, found.cause, found.scheduler_id) == (
        JobState.RUNNING,
        "Running",
        "",
        "u-1",
    )
    assert sight(job(), pod("Running", {"running": {}}, condition("Ready", "True"))).cause == ""


def test_a_silent_node_is_told_of_and_given_up_in_the_end() -> None:
    silent = (condition("Ready", "False"), condition("DisruptionTarget", "True", "DeletionByTaintManager"))
    found = sight(job(), pod("Running", {"running": {}}, silent[0]))
    assert (found.state, found.cause) == (JobState.RUNNING, "its node may have failed: it does not report")
    dying = pod("Running", {"running": {}}, *silent, about={"deletionTimestamp": ago(60)})
    found = sight(job(), dying)
    assert (found.state, found.cause) == (
        JobState.RUNNING,
        "being ended: its node failed, or was closed to it",
    )
    lost = pod("Running", {"running": {}}, *silent, about={"deletionTimestamp": ago(130)})
    found = sight(job(), lost)
    assert (found.state, found.is_passing) == (JobState.FAILED, True)
    assert found.cause == "its node does not answer any more"


def test_a_disrupted_pod_is_followed_by_the_next_attempt() -> None:
    old = pod("Failed", None, condition("DisruptionTarget", "True", "PreemptionByScheduler"), made=ago(90))
    found = sight(job(), old)
    assert (found.state, found.native) == (JobState.QUEUED, "Pending (PreemptionByScheduler)")
    assert found.cause == "next attempt: pre-empted by a pod of higher priority"
    assert sight(job(), old, pod("Running", {"running": {}}, made=ago(10))).state is JobState.RUNNING


def test_a_job_being_deleted_runs_until_it_is_gone() -> None:
    leaving = job(deletionTimestamp=ago(10))
    assert (sight(leaving).state, sight(leaving).cause) == (JobState.RUNNING, "being stopped")
    assert seen(job(deletionTimestamp=ago(1000)), [], [], NOW) is None


def test_a_job_that_vanished_was_deleted() -> None:
    found = orphaned("u", [pod("Running", about={"deletionTimestamp": ago(-30)})], NOW)
    assert (found.state, found.cause) == (JobState.RUNNING, "deleted by somebody else; its pod is ending")
    for left in ([], [pod("Failed")], [pod("Running", about={"deletionTimestamp": ago(1000)})]):
        assert orphaned("u", left, NOW).state is JobState.CANCELLED
        assert orphaned("u", left, NOW).cause == "deleted by somebody else"


# --- which questions are needed ---


def test_pods_are_asked_for_only_where_the_job_does_not_tell() -> None:
    assert is_plain(ended("Complete"))
    assert is_plain(job({"active": 1, "ready": 1}))
    assert is_plain(job() | {"spec": {"suspend": True}})
    for untold in (job(), ended("Failed"), job({"ready": 1}, deletionTimestamp=ago(1))):
        assert not is_plain(untold)


def test_events_are_asked_for_only_where_pods_do_not_tell() -> None:
    assert is_stuck(job(), [])
    assert is_stuck(job(), [waiting("ContainerCreating")])
    unplaced = pod("Pending", None, condition("PodScheduled", "False", "Unschedulable"))
    for told in ([pod("Running")], [pod("Failed")]):
        assert not is_stuck(job(), told)
    assert not is_stuck(ended("Failed"), [])
    assert is_finished(ended("Failed"))
    assert not is_finished(job())
    assert unplaced


# --- hostile answers ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["metadata", "spec", "status"]


@given(
    st.dictionaries(st.sampled_from(KEYS), json_values), st.lists(json_values.map(lambda v: {"status": v}))
)
def test_any_answer_is_read_without_a_crash_and_never_as_success(the_job: Any, pods: Any) -> None:  # noqa: ANN401
    found = seen(the_job, pods, [], NOW)
    assert found is None or found.state is not JobState.COMPLETED
    is_plain(the_job)
    is_stuck(the_job, pods)


def test_texts_are_bounded_printable_and_in_one_line() -> None:
    assert text({"t": "a\x1b[31m\nb" + "x" * 10_000}, "t").startswith("a\ufffd[31m bxx")
    assert len(text({"t": "x" * 10_000}, "t")) == 1000
    assert text({"t": 5}, "t") == text({}, "t") == text(None, "a", "b") == ""


@pytest.mark.parametrize("value", [10**400, -(10**400), 1 << 63, 1.5, True, "5", None])
def test_what_no_64_bits_hold_is_no_number(value: object) -> None:
    assert number({"n": value}, "n") == 0
    leaving = job(deletionTimestamp=ago(1000))
    leaving["spec"] = {"template": {"spec": {"terminationGracePeriodSeconds": value}}}
    assert seen(leaving, [], [], NOW) is None


def test_the_largest_numbers_are_read() -> None:
    assert [number(value) for value in ((1 << 63) - 1, -(1 << 63))] == [(1 << 63) - 1, -(1 << 63)]
    for largest in ((1 << 63) - 1, -(1 << 63)):
        killed = pod("Failed", {"terminated": {"signal": largest, "exitCode": largest}})
        assert sight(ended("Failed"), killed).state is JobState.FAILED


@pytest.mark.parametrize(
    "value", ["2026-02-31T00:00:00Z", "now", "2026-01-01", 5, None, "2026-01-01T00:00:00+01:00"]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert time_of({"t": value}, "t") is None


def test_times_are_read_with_and_without_fractions() -> None:
    assert (
        time_of({"t": "1970-01-01T00:01:00Z"}, "t")
        == time_of({"t": "1970-01-01T00:01:00.123456Z"}, "t")
        == 60
    )

"""What a Job and its pods say, in our terms. A job is completed only when the Job says `Complete`."""

from collections.abc import Collection

from foedus.core.records import JobState
from foedus.launch.cluster import Sight
from foedus.launch.kubernetes._json import Object, each, number, part, text, time_of
from foedus.launch.kubernetes.manifest import QUEUE_LABEL
from foedus.launch.kubernetes.pods import (
    LOST_S,
    condition,
    end_of,
    is_lost,
    is_over,
    newest,
    waiting,
)

GONE = "deleted by somebody else"
_REFUSALS = (
    ("exceeded quota", "waiting: a quota of the namespace is used up"),
    ("PodSecurity", "cannot start: the namespace's security level refuses its pod"),
    ("forbidden", "cannot start: its pod is refused"),
)


def is_finished(job: Object) -> bool:
    """Whether the Job's controller is done with it."""
    return bool({"Complete", "Failed"} & _conditions(job).keys())


def is_plain(job: Object) -> bool:
    """Whether the Job alone tells all: its pods need not be asked for."""
    if "Complete" in _conditions(job):
        return True
    if "Failed" in _conditions(job) or _is_leaving(job):
        return False
    return part(job, "spec", "suspend") is True or number(job, "status", "ready") > 0


def is_stuck(job: Object, pods: Collection[Object]) -> bool:
    """Whether only events can tell why nothing runs: there is no pod, or its container is not made."""
    if is_plain(job) or is_finished(job) or _is_leaving(job):
        return False
    pod = newest(pods)
    if pod is None:
        return True
    is_placed = condition(pod, "PodScheduled") is not None
    return is_placed and text(pod, "status", "phase") == "Pending"


def seen(job: Object, pods: Collection[Object], warnings: Collection[Object], now: float) -> Sight | None:
    """Put a Job's state into our terms; None when it is as good as gone.

    `warnings` are events about the Job and its pods, the newest first; `now` is the API server's time. A
    `FAILED` for a Job that is not finished means that it is to be given up: its node does not answer.
    """
    uid, conditions = text(job, "metadata", "uid"), _conditions(job)
    if "Complete" in conditions:
        return Sight(uid, JobState.COMPLETED, "Complete")
    if "Failed" in conditions:
        return _failed(uid, conditions["Failed"], pods)
    if _is_leaving(job):
        return _leaving(uid, job, now)
    if part(job, "spec", "suspend") is True:
        return _suspended(uid, job)
    return _unfinished(uid, job, pods, warnings, now)


def orphaned(uid: str, pods: Collection[Object], now: float) -> Sight:
    """Return what a Job that was there before, and is not any more, comes to."""
    left = [pod for pod in pods if not is_over(pod) and not is_lost(pod, now)]
    if left:
        return Sight(uid, JobState.RUNNING, "Terminating", f"{GONE}; its pod is ending")
    return Sight(uid, JobState.CANCELLED, "Deleted", GONE)


def _conditions(job: Object) -> dict[str, Object]:
    found = each(job, "status", "conditions")
    return {text(item, "type"): item for item in found if text(item, "status") == "True"}


def _is_leaving(job: Object) -> bool:
    return part(job, "metadata", "deletionTimestamp") is not None


def _failed(uid: str, why: Object, pods: Collection[Object]) -> Sight:
    reason = text(why, "reason") or "Failed"
    if reason == "DeadlineExceeded":
        return Sight(uid, JobState.FAILED, f"Failed ({reason})", "time limit reached", out_of_time=True)
    pod = newest([pod for pod in pods if text(pod, "status", "phase") == "Failed"])
    if pod is None:
        return Sight(uid, JobState.FAILED, f"Failed ({reason})", ended="it failed, and its pod is gone")
    end = end_of(pod)
    native = f"Failed ({end.native or reason})"
    return Sight(uid, JobState.FAILED, native, end.cause, end.ended, end.is_passing, end.out_of_time)


def _leaving(uid: str, job: Object, now: float) -> Sight | None:
    since = time_of(job, "metadata", "deletionTimestamp")
    grace_s = number(job, "spec", "template", "spec", "terminationGracePeriodSeconds")
    if since is not None and since + grace_s + LOST_S < now:
        return None  # its pod is on a node that does not answer
    return Sight(uid, JobState.RUNNING, "Terminating", "being stopped")


def _suspended(uid: str, job: Object) -> Sight:
    queue = text(job, "metadata", "labels", QUEUE_LABEL)
    cause = f"waiting in queue {queue}" if queue else "suspended by somebody else"
    return Sight(uid, JobState.QUEUED, "Suspended", cause)


def _unfinished(
    uid: str, job: Object, pods: Collection[Object], warnings: Collection[Object], now: float
) -> Sight:
    pod = newest(pods)
    if number(job, "status", "ready") > 0:
        return Sight(uid, JobState.RUNNING, "Running")
    if pod is None:
        return Sight(uid, JobState.QUEUED, "Pending", _podless(warnings))
    phase = text(pod, "status", "phase")
    if is_lost(pod, now):
        return Sight(
            uid, JobState.FAILED, "NodeLost", "its node does not answer any more", "", is_passing=True
        )
    if phase == "Pending":
        reason, cause = waiting(pod, warnings)
        return Sight(uid, JobState.QUEUED, f"Pending ({reason})" if reason else phase, cause)
    if phase == "Failed":
        end = end_of(pod)
        if end.is_passing:
            return Sight(uid, JobState.QUEUED, f"Pending ({end.native})", f"next attempt: {end.cause}")
    return Sight(uid, JobState.RUNNING, phase or "Unknown", _trouble(pod))


def _trouble(pod: Object) -> str:
    if text(pod, "status", "phase") == "Unknown":
        return "its node does not answer"
    if is_over(pod):
        return "it has ended"
    if part(pod, "metadata", "deletionTimestamp") is not None:
        disruption = condition(pod, "DisruptionTarget")
        return f"being ended: {end_of(pod).cause}" if disruption else "its pod is being ended"
    status = next(each(pod, "status", "containerStatuses"), {})
    is_silent = part(status, "state", "running") is not None and condition(pod, "Ready", "False")
    return "its node may have failed: it does not report" if is_silent else ""


def _podless(warnings: Collection[Object]) -> str:
    for warning in warnings:
        if text(warning, "reason") == "FailedCreate":
            said = text(warning, "message")
            words = (words for sign, words in _REFUSALS if sign in said)
            return f"{next(words, 'waiting: its pod cannot be made')}: {said}"
    return "waiting for its pod to be made"

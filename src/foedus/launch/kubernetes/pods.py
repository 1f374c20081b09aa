"""What the state of a pod means, in words: why it waits, and how it ended."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from foedus.launch._causes import death
from foedus.launch.kubernetes._json import Object, each, lines, number, part, text, time_of

LOST_S = 120.0  # a pod that should have been gone so long ago is on a node that does not answer
_LOG_LINES = 5

_CANNOT_START = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node",
    "RegistryUnavailable": "its image cannot be pulled: the registry does not answer",
    "ImageInspectError": "its image is damaged",
    "InvalidImageName": "its image's name is not valid",
    "CreateContainerConfigError": "its container cannot be set up",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its program cannot be started",
}
_MOUNT_TROUBLE = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_DISRUPTIONS = {
    "PreemptionByScheduler": "pre-empted by a pod of higher priority",
    "DeletionByTaintManager": "its node failed, or was closed to it",
    "EvictionByEvictionAPI": "evicted: its node is being emptied",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "ended by its node, which shut down or ran low on memory or disk",
}
_NODE_FAILURES = {
    "NodeLost": "its node does not answer",
    "NodeShutdown": "its node shut down",
    "Terminated": "its node shut down",
    "Shutdown": "its node shut down",
    "Preempting": "its node needed the room for a system pod",
    "NodeAffinity": "its node did not admit it",
    "UnexpectedAdmissionError": "its node did not admit it",
    "TopologyAffinityError": "its node did not admit it",
}
_NOT_STARTED = ("StartError", "ContainerCannotRun", "CreateContainerError")
_SCRATCH_WORDS = ("emptydir", "ephemeral")  # in the kubelet's messages
_TAINT = re.compile(r"untolerated taint\(?s?\)? \{([^}]{1,200})\}")
_INSUFFICIENT = re.compile(r"Insufficient ([A-Za-z0-9./-]{1,100})")
_RESOURCES = {
    "cpu": "CPUs",
    "memory": "memory",
    "ephemeral-storage": "scratch space",
    "pods": "room for pods",
}


@dataclass(frozen=True, slots=True)
class End:
    """How a pod ended; the fields are those of `Sight`."""

    native: str
    cause: str = ""
    ended: str = ""
    is_passing: bool = False
    out_of_time: bool = False


def newest(pods: Collection[Object]) -> Object | None:
    """Return the pod that was made last."""
    moments = [(time_of(pod, "metadata", "creationTimestamp") or 0.0, i) for i, pod in enumerate(pods)]
    return list(pods)[max(moments)[1]] if moments else None


def condition(pod: Object, kind: str, status: str = "True") -> Object | None:
    """Return the pod's condition of this type, if it has this status."""
    found = (item for item in each(pod, "status", "conditions") if text(item, "type") == kind)
    return next((item for item in found if text(item, "status") == status), None)


def is_over(pod: Object) -> bool:
    """Whether nothing of the pod runs any more."""
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def is_lost(pod: Object, now: float) -> bool:
    """Whether the pod should have been gone long ago: its node does not answer."""
    until = time_of(pod, "metadata", "deletionTimestamp")
    return not is_over(pod) and until is not None and until + LOST_S < now


def waiting(pod: Object, warnings: Collection[Object]) -> tuple[str, str]:
    """Return the native reason why a pending pod does not run, and ours in words."""
    unscheduled = condition(pod, "PodScheduled", "False")
    if unscheduled is not None:
        reason = text(unscheduled, "reason")
        if reason == "SchedulingGated":
            return reason, "held back by a scheduling gate"
        return reason, _unschedulable(text(unscheduled, "message"))
    if condition(pod, "PodScheduled") is None:
        return "", "waiting for a node"
    container = next(each(pod, "status", "containerStatuses"), {})
    reason, message = (text(container, "state", "waiting", name) for name in ("reason", "message"))
    if reason in _CANNOT_START:
        return reason, f"cannot start: {_with(_CANNOT_START[reason], message)}"
    for warning in warnings:
        if text(warning, "reason") in _MOUNT_TROUBLE:
            said = text(warning, "message")
            return text(warning, "reason"), f"cannot start: {_with('its volume cannot be mounted', said)}"
    return reason, "its container is being made"


def end_of(pod: Object) -> End:
    """Say how a failed pod ended."""
    reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
    status = next(each(pod, "status", "containerStatuses"), {})
    disruption = condition(pod, "DisruptionTarget")
    if disruption is not None:
        why = text(disruption, "reason")
        cause = _DISRUPTIONS.get(why, "disrupted by the cluster")
        return End(why or "DisruptionTarget", _with(cause, message), is_passing=True)
    if reason == "Evicted":
        is_own = any(word in message.lower() for word in _SCRATCH_WORDS)
        cause = "it used more scratch space than scratch_mb" if is_own else "evicted by its node"
        return End(reason, _with(cause, message), is_passing=not is_own)
    if reason == "DeadlineExceeded":
        return _deadline(pod, status)
    if reason in _NODE_FAILURES or reason.startswith("OutOf"):
        cause = _NODE_FAILURES.get(reason, "its node did not admit it")
        return End(reason, _with(cause, message), is_passing=True)
    return _terminated(status, pod)


def _deadline(pod: Object, status: Object) -> End:
    has_run = any(part(status, "state", kind) for kind in ("running", "terminated"))
    if has_run:
        return End("DeadlineExceeded", "time limit reached", out_of_time=True)
    _, why = waiting(pod, ())
    return End("DeadlineExceeded", f"it could not start in time: {why.removeprefix('cannot start: ')}")


def _terminated(status: Object, pod: Object) -> End:
    found = part(status, "state", "terminated")
    reason, code, signal = text(found, "reason"), number(found, "exitCode"), number(found, "signal")
    said = "\n".join(lines(found, "message").rstrip().splitlines()[-_LOG_LINES:])
    if reason == "OOMKilled":
        limit = text(next(each(pod, "spec", "containers"), {}), "resources", "limits", "memory")
        return End(reason, f"out of memory{f': its limit is {limit}' if limit else ''}")
    if reason in _NOT_STARTED:
        return End(reason, _with("its program cannot be started", text(found, "message")))
    if reason == "ContainerStatusUnknown":
        return End(reason, "its node lost sight of it", is_passing=True)
    if signal or 128 < code <= 192:
        return End(reason, ended=death(-(signal or code - 128), said))
    if code:
        return End(reason, ended=death(code, said))
    return End(reason or text(pod, "status", "reason"), ended=text(pod, "status", "message"))


def _unschedulable(message: str) -> str:
    """Put the summary of all nodes ("0/3 nodes are available: 1 Insufficient cpu, …") into words."""
    lacking = sorted({name.rstrip(".") for name in _INSUFFICIENT.findall(message)})
    words = []
    if lacking:
        named = ", ".join(_RESOURCES.get(name, name) for name in lacking)
        words.append(f"not enough free {named}")
    taints = sorted({taint.rstrip(": ") for taint in _TAINT.findall(message)})
    words += [f"nodes have a taint that the site's tolerations lack ({taint})" for taint in taints]
    if "node affinity/selector" in message or "node selector" in message:
        words.append("no node has the labels that are asked for")
    if "unbound immediate PersistentVolumeClaims" in message:
        words.append("the volume's claim is not bound")
    if "persistentvolumeclaim" in message and "not found" in message:
        words.append("the volume's claim does not exist")
    if "volume node affinity" in message:
        words.append("the volume cannot be reached from a free node")
    return f"waiting for resources: {'; '.join(words) or message or 'no node fits yet'}"


def _with(words: str, message: str) -> str:
    return f"{words}: {message}" if message else words

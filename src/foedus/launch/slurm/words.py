"""Slurm's states and reasons in words; a state that is not known here may be anything."""

from dataclasses import dataclass

from foedus.core.records import JobState
from foedus.launch._causes import death
from foedus.launch.cluster import Sight

_STATES = {
    "PENDING": JobState.QUEUED,
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "REQUEUE_HOLD": JobState.QUEUED,
    "RESV_DEL_HOLD": JobState.QUEUED,
    "SPECIAL_EXIT": JobState.QUEUED,
    "CONFIGURING": JobState.RUNNING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "BOOT_FAIL": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "LAUNCH_FAILED": JobState.FAILED,
}
_REVOKED = "REVOKED"  # here only: how it goes on there is not known here, nor that it ended
_PASSING = {
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "pre-empted by a batch job of higher priority",
    "LAUNCH_FAILED": "it could not be started on its node",
}
_STUCK = {  # Slurm holds such a job for ever, until somebody releases or cancels it
    "launch failed requeued held": "its node could not start it, and Slurm holds it since",
    "JobHoldMaxRequeue": "it was started again too often, and Slurm holds it since",
}
_ENDS = {
    "TIMEOUT": "time limit reached",
    "DEADLINE": "its deadline passed before it could end",
    "OUT_OF_MEMORY": "out of memory",
}
_WAITS = {
    "": "",
    "None": "",
    "Resources": "waiting for resources",
    "Priority": "waiting for resources: batch jobs of higher priority come first",
    "Dependency": "waiting for another batch job",
    "BeginTime": "waiting until it may start (again)",
    "JobHeldUser": "held by its user or a coordinator: scontrol release",
    "JobHeldAdmin": "held by an administrator",
    "Licenses": "waiting for licences",
    "ReqNodeNotAvail": "waiting: nodes that it needs are down, drained or reserved",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "waiting: nodes that it needs are down, drained or reserved"
    ),
    "PartitionDown": "waiting: its partition is down",
    "PartitionInactive": "waiting: its partition is inactive",
    "PartitionNodeLimit": "cannot start: the partition allows fewer nodes",
    "PartitionTimeLimit": "cannot start: the partition's time limit is shorter than walltime_s",
    "BadConstraints": "cannot start: no node satisfies its constraint",
    "AccountNotAllowed": "cannot start: the partition does not admit the account",
    "InvalidAccount": "cannot start: the account is not valid",
    "InvalidQOS": "cannot start: the QOS is not valid",
    "Reservation": "waiting for a reservation",
    "Cleaning": "waiting: its node is still cleaning up after the attempt before",
    "NodeDown": "waiting: a node that it needs is down",
}
_LAUNCH_FAILURE = "JobLaunchFailure"  # any death of the batch script by a signal
_UNWRITABLE = 53  # the "signal" with which a batch job ends whose output file cannot be opened
_KILLED = (None, 9)


@dataclass(frozen=True, slots=True)
class NativeJob:
    """One batch job as Slurm describes it. `exit_code` and `exit_signal` are None where it does not say."""

    scheduler_id: str
    name: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    exit_signal: int | None = None
    cancelled_by: str = ""


def seen(job: NativeJob) -> Sight:
    """Put a batch job's state into our terms."""
    word = job.state.partition(" ")[0].rstrip("+")
    state = _STATES.get(word, JobState.UNKNOWN)
    is_stuck = state is JobState.QUEUED and job.reason in _STUCK
    if is_stuck:
        state = JobState.FAILED
    native = f"{word} ({job.reason})" if job.reason not in ("", "None") else word
    cause = _cause(job, word, state)
    return Sight(
        job.scheduler_id,
        state,
        native,
        cause,
        _ended(job) if state is JobState.FAILED else "",
        is_passing=is_stuck or word in _PASSING,
        out_of_time=word == "TIMEOUT",
    )


def _cause(job: NativeJob, word: str, state: JobState) -> str:
    if state is JobState.QUEUED:
        return _waiting(job.reason)
    if state is JobState.RUNNING:
        return "suspended" if word in ("SUSPENDED", "STOPPED") else ""
    if word == _REVOKED:
        return "another cluster of the federation has it"
    if state is JobState.UNKNOWN:
        return f"Slurm says {word!r}, which is not known here"
    if state is JobState.CANCELLED:
        return f"cancelled by {job.cancelled_by}" if job.cancelled_by else "cancelled by somebody else"
    if state is JobState.COMPLETED:
        return ""
    return _STUCK.get(job.reason) or _PASSING.get(word) or _ENDS.get(word) or _failure(job)


def _ended(job: NativeJob) -> str:
    if job.exit_signal:
        return death(-job.exit_signal, "")
    if job.exit_code and job.exit_code > 128:
        return death(128 - job.exit_code, "")
    return death(job.exit_code, "") if job.exit_code else "it failed"


def _waiting(reason: str) -> str:
    if reason in _WAITS:
        return _WAITS[reason]
    if reason.startswith("QOS"):
        return f"waiting: a limit of its QOS is reached ({reason})"
    if reason.startswith(("Assoc", "MaxGRES", "MaxJobs", "MaxSubmit")):
        return f"waiting: a limit of its account is reached ({reason})"
    if reason.startswith("ReqNodeNotAvail"):
        return _WAITS["ReqNodeNotAvail"]
    return f"waiting: {reason}"


def _failure(job: NativeJob) -> str:
    if job.exit_signal == _UNWRITABLE or job.reason.startswith(f"RaisedSignal:{_UNWRITABLE}("):
        return "its output cannot be written: the job folder is not there, or not writable, on the node"
    if job.reason == _LAUNCH_FAILURE and job.exit_signal in _KILLED:
        return "killed by its node (JobLaunchFailure); most likely out of memory"
    return ""

"""Cancels batch jobs on the cluster, whoever follows them, and tells how they ended."""

import time
from typing import Final

from foedus.client.batch_jobs import BatchJob, find_batch_job
from foedus.client.launchers import outlives_us, scheduler_of
from foedus.client.shell import Shell
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch.cluster import Scheduler, Sight
from foedus.launch.cluster.ended import attempt_with_result, newest_outcome
from foedus.launch.cluster.journal import Journal

_PAUSE_S: Final = 0.5
_LIMIT_S: Final = 20.0


def cancel_job(shell: Shell, job: BatchJob) -> str:
    """Have the scheduler stop a batch job, wait for its end, and return what became of it, in words.

    `CANCELLED` is noted only of one that did not end by itself: how that one ended is found out and noted by
    whoever follows it. Raises `FoedusError` for what the cluster does not know, `InvalidSpec` without one.
    """
    journal = _journal_of(shell, job)
    scheduler, name = scheduler_of(shell.settings), journal.full_name
    seen = scheduler.look([name]).get(name)
    if seen is None:
        raise FoedusError(
            f"the scheduler does not know {job.name} (any more)",
            "Either it has ended, or a held allocation serves it: interrupt the run, or cancel that one.",
        )
    if seen.state.is_final:
        own = _own_end(job, journal)
        words = f"it is {own}" if own else f"the scheduler says {seen.native}"
        return f"{job.name} has ended: {words}"
    scheduler.cancel(name, journal.scheduler_id)
    seen = _awaited(scheduler, name, seen)
    if seen is not None and not seen.state.is_final:
        return f"{job.name} is being cancelled; it is still {seen.state}"
    return f"{job.name} {_became(shell, job, journal, seen)}"


def _journal_of(shell: Shell, job: BatchJob) -> Journal:
    if job.journal is None:
        raise FoedusError(
            f"{job.name} runs in a worker of another command", "Interrupt that command with Ctrl-C instead."
        )
    if not outlives_us(shell.settings):
        raise InvalidSpec(
            f"{job.name} is on a cluster, but the launcher is local",
            "Set launcher in config.toml, or FOEDUS_LAUNCHER.",
        )
    return job.journal


def _awaited(scheduler: Scheduler, name: str, seen: Sight | None) -> Sight | None:
    """Return what the scheduler says once the batch job has ended, or there was no more time to wait."""
    deadline = time.monotonic() + _LIMIT_S
    while seen is not None and not seen.state.is_final and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        seen = scheduler.look([name]).get(name)
    return seen


def _became(shell: Shell, job: BatchJob, journal: Journal, seen: Sight | None) -> str:
    """Say how it ended; note that it was cancelled, unless it ended by itself or somebody else took note."""
    now = find_batch_job(shell.home, job.name)
    if now.state.is_final or now.journal != journal:
        return f"is {now.state}"
    own = _own_end(now, journal)
    if own is not None:
        return f"is {own}"
    if seen is not None and seen.state is not JobState.CANCELLED and not seen.is_passing:
        return f"has ended: the scheduler says {seen.native}"
    cause = "cancelled by `foedus job cancel`"
    status = JobStatus(
        NativeId(journal.name), JobState.CANCELLED, cause, now.scheduler_id, attempt=now.attempt
    )
    now.folder.write_status(status)
    return f"is {status.state}"


def _own_end(job: BatchJob, journal: Journal) -> JobState | None:
    """Return how its attempts say that it ended by itself; None where none says so."""
    if attempt_with_result(job.folder) is not None:
        return JobState.COMPLETED
    outcome = newest_outcome(job.folder, Resources(), journal.number)
    has_failed = outcome is not None and outcome.failure is not None and not outcome.is_interrupted
    return JobState.FAILED if has_failed else None

"""Cancels batch jobs on the cluster, whoever follows them, and tells how they ended."""

import time
from typing import Final

from foedus.client.batch_jobs import BatchJob, find_batch_job
from foedus.client.launchers import outlives_us, scheduler_of
from foedus.client.shell import Shell
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch.cluster import Scheduler, Sight
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
        now = find_batch_job(shell.home, job.name)
        words = f"it is {now.state}" if now.state.is_final else f"the scheduler says {seen.native}"
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
    if seen is not None and seen.state is not JobState.CANCELLED and not seen.is_passing:
        return f"has ended: the scheduler says {seen.native}"
    cause = "cancelled by `foedus job cancel`"
    status = JobStatus(
        NativeId(journal.name), JobState.CANCELLED, cause, now.scheduler_id, attempt=now.attempt
    )
    now.folder.write_status(status)
    return f"is {status.state}"

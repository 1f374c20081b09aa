"""Cancels batch jobs on the cluster, whoever follows them, and tells how they ended."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from foedus.client.shell import Shell
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch.cluster import Scheduler, Sight
from foedus.launch.cluster.journal import Journal
from foedus.site.batch_jobs import BatchJob, batch_jobs, find_batch_job
from foedus.site.launchers import outlives_us, scheduler_of

_PAUSE_S: Final = 0.5
_LIMIT_S: Final = 20.0


def cancel_job(shell: Shell, job: BatchJob) -> str:
    """Have the scheduler stop a batch job, wait for its end, and return what became of it, in words.

    `CANCELLED` is noted only of one that did not end by itself: how that one ended is found out and noted by
    whoever follows it. Raises `FoedusError` for what the cluster does not know, `InvalidSpec` without one.
    """
    name = _journal_of(shell, job).full_name
    sights = scheduler_of(shell.settings).look([name])
    if name not in sights:
        raise FoedusError(
            f"the scheduler does not know {job.name} (any more)",
            "Either it has ended, or a held allocation serves it: interrupt the run, or cancel that one.",
        )
    [words] = _cancelled(shell, [job], sights)
    return words


def cancel_run(shell: Shell, run: str) -> list[str]:
    """Do so for all batch jobs of a run that its cluster has, and return what became of each.

    Tasks of held allocations end with those. Raises `InvalidSpec` where there is no such run, or no cluster.
    """
    shell.home.run_folder(run)
    jobs = [job for job in batch_jobs(shell.home) if job.as_of is not None and job.name.startswith(f"{run}/")]
    if not jobs:
        return []
    names = [_journal_of(shell, job).full_name for job in jobs]
    sights = scheduler_of(shell.settings).look(names)
    live = {name for name, seen in sights.items() if not seen.state.is_final}
    return _cancelled(shell, [job for job in jobs if _journal_of(shell, job).full_name in live], sights)


def _cancelled(shell: Shell, jobs: Sequence[BatchJob], sights: Mapping[str, Sight]) -> list[str]:
    """Stop those that have not ended, wait for the ends of all, and say what became of each, in order."""
    scheduler = scheduler_of(shell.settings)
    journals = {job.name: _journal_of(shell, job) for job in jobs}
    told: dict[str, str] = {}
    waiting: dict[str, BatchJob] = {}
    for job in jobs:
        name, seen = journals[job.name].full_name, sights[journals[job.name].full_name]
        if seen.state.is_final:
            now = find_batch_job(shell.home, job.name)
            words = f"it is {now.state}" if now.state.is_final else f"the scheduler says {seen.native}"
            told[job.name] = f"{job.name} has ended: {words}"
        else:
            _note(job)
            scheduler.cancel(name, journals[job.name].scheduler_id)
            waiting[name] = job
    for name, last in _awaited(scheduler, {name: sights[name] for name in waiting}).items():
        job = waiting[name]
        if last is not None and not last.state.is_final:
            told[job.name] = f"{job.name} is being cancelled; it is still {last.state}"
        else:
            told[job.name] = f"{job.name} {_became(shell, job, journals[job.name], last)}"
    return [told[job.name] for job in jobs]


def _note(job: BatchJob) -> None:
    """Tell whoever follows it, now or later, that it is to end, and by whose wish."""
    journal = Journal.read(job.folder)
    if journal is not None and job.journal is not None and journal.full_name == job.journal.full_name:
        with suppress(OSError):
            replace(journal, is_cancelled=True).write(job.folder)


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


def _awaited(scheduler: Scheduler, seen: Mapping[str, Sight]) -> Mapping[str, Sight | None]:
    """Return what the scheduler says once the batch jobs have ended, or there was no more time to wait."""
    deadline = time.monotonic() + _LIMIT_S
    last: dict[str, Sight | None] = dict(seen)
    while open_names := [
        name for name, sight in last.items() if sight is not None and not sight.state.is_final
    ]:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_S)
        sights = scheduler.look(open_names)
        last |= {name: sights.get(name) for name in open_names}
    return last


def _became(shell: Shell, job: BatchJob, journal: Journal, seen: Sight | None) -> str:
    """Say how it ended; note that it was cancelled, unless it ended by itself or somebody else took note."""
    now = find_batch_job(shell.home, job.name)
    if now.state.is_final or now.journal is None or now.journal.full_name != journal.full_name:
        return f"is {now.state}"
    if seen is not None and seen.state is not JobState.CANCELLED and not seen.is_passing:
        return f"has ended: the scheduler says {seen.native}"
    cause = "cancelled by `foedus job cancel`"
    status = JobStatus(
        NativeId(journal.name), JobState.CANCELLED, cause, now.scheduler_id, attempt=now.attempt
    )
    now.folder.write_status(status)
    return f"is {status.state}"

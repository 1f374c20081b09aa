"""Asks the cluster about batch jobs of whose end their folders do not tell: one question for all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foedus.client.shell import Shell
from foedus.core.errors import FoedusError
from foedus.core.records import JobState
from foedus.launch.cluster import Sight
from foedus.launch.cluster.ended import newest_outcome
from foedus.launch.held.post import APPLICATION as HOLD
from foedus.site.batch_jobs import BatchJob, allocations, batch_jobs, find_batch_job, resuming
from foedus.site.ends import asked_for
from foedus.site.launchers import outlives_us, scheduler_of


def current_jobs(shell: Shell) -> tuple[list[BatchJob], str]:
    """Return all batch jobs, the one that changed last first, and why the cluster said nothing of them.

    Nothing is noted: whoever follows a batch job does that.
    """
    return _asked(shell, batch_jobs(shell.home))


def current_job(shell: Shell, name: str) -> tuple[BatchJob, str]:
    """Return the batch job of this name, and why the cluster said nothing of it. Raises `InvalidSpec`."""
    [job], trouble = _asked(shell, [find_batch_job(shell.home, name)])
    return job, trouble


def _asked(shell: Shell, jobs: Sequence[BatchJob]) -> tuple[list[BatchJob], str]:
    open_jobs = [job for job in jobs if job.as_of is not None]
    if not open_jobs or not outlives_us(shell.settings):
        return list(jobs), ""
    runs = {job.name.partition("/")[0] for job in open_jobs if "/" in job.name}
    holders = [holder for run in sorted(runs) for holder in allocations(shell.home, run)]
    names = {_full_name(job) for job in (*open_jobs, *holders) if job.as_of is not None}
    try:
        sights = scheduler_of(shell.settings).look(names)
    except FoedusError as error:
        return list(jobs), error.message
    live = {holder.scheduler_id for holder in holders if _is_live(holder, sights)}
    held = {holder.scheduler_id for holder in holders}
    return [_told(shell, job, sights, held, live) if job.as_of is not None else job for job in jobs], ""


def _full_name(job: BatchJob) -> str:
    return job.journal.full_name if job.journal is not None else ""


def _is_live(holder: BatchJob, sights: Mapping[str, Sight]) -> bool:
    sight = sights.get(_full_name(holder))
    return sight is not None and not sight.state.is_final


def _told(
    shell: Shell, job: BatchJob, sights: Mapping[str, Sight], held: set[str], live: set[str]
) -> BatchJob:
    sight = sights.get(_full_name(job))
    if sight is not None and not sight.state.is_final:
        seen = replace(job, scheduler_id=sight.scheduler_id, scheduler_state=sight.native)
        if sight.state is JobState.UNKNOWN:  # it may run where this scheduler does not look: not over
            return replace(seen, state=sight.state, cause=sight.cause)
        return _until_now(seen, sight.state, sight.cause)
    if sight is None and job.scheduler_id in live:  # a worker serves it: its state is what that said last
        return _until_now(job, job.state, job.cause)
    if sight is None and not job.scheduler_id:  # whoever submits it looks for it by its name
        return job
    again = find_batch_job(shell.home, job.name)  # its last files may have come since
    if again.state.is_final or again.journal != job.journal:
        return again
    if sight is not None:
        return _ended(job, sight)
    what = (
        "its held allocation" if job.scheduler_id in held else "the scheduler does not know it any more: it"
    )
    cause = f"{what} has ended, and it left no result; `{resuming(job.name)}` goes on with it"
    return replace(job, state=JobState.UNKNOWN, cause=cause, as_of=None)


def _until_now(job: BatchJob, state: JobState, cause: str) -> BatchJob:
    """Return it as it is now: durations go on from where they were noted."""
    since_s = max(0.0, time.time() - (job.as_of or time.time()))
    queued_s, running_s = job.queued_s, job.running_s
    if running_s is not None:
        running_s += since_s
    elif queued_s is not None and state is JobState.QUEUED:
        queued_s += since_s
    return replace(job, state=state, cause=cause, queued_s=queued_s, running_s=running_s, as_of=None)


def _ended(job: BatchJob, sight: Sight) -> BatchJob:
    """Say how it ended, of which its folder tells nothing: nobody followed it."""
    assert job.journal is not None
    outcome = newest_outcome(job.folder, asked_for(job.resources), job.journal.number)
    state, cause = sight.state, sight.cause
    goes_on = sight.is_passing or (outcome is not None and (outcome.is_interrupted or outcome.is_out_of_time))
    if goes_on and sight.state is not JobState.CANCELLED:
        state = JobState.UNKNOWN
        cause = f"{cause or 'its time was over'}; `{resuming(job.name)}` submits it again"
    elif state is JobState.COMPLETED and job.application != HOLD:
        state, cause = JobState.FAILED, "the batch job ended without a result"
    elif state is JobState.FAILED:
        cause = cause or (outcome.words if outcome is not None else "") or sight.ended
    return replace(job, state=state, cause=cause, scheduler_state=sight.native, as_of=None)

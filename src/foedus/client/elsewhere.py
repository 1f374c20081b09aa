"""Batch jobs that a cluster had, and that are now to be done on this machine: have they ended there?"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from foedus.client.looking import current_jobs
from foedus.client.shell import Shell
from foedus.core.errors import FoedusError
from foedus.core.records import JobState
from foedus.site.launchers import outlives_us
from foedus.site.settings import Settings, read_settings

_CLUSTERS = ("slurm", "kubernetes")


def note_ends(shell: Shell, owners: Collection[str]) -> None:
    """Note which batch jobs of these runs and applications have ended on the cluster, if it answers.

    Only where they are now to be done here: who goes on with them there finds out how they ended.
    """
    settings = None if outlives_us(shell.settings) else _of_a_cluster(shell)
    if settings is None:
        return
    with suppress(FoedusError, OSError):  # then nothing is known, and local workers leave them alone
        jobs, _ = current_jobs(shell._replace(settings=settings))
        for job in jobs:
            journal, is_over = job.journal, job.state not in (JobState.QUEUED, JobState.RUNNING)
            if (
                journal is None
                or journal.is_settled
                or not {job.name, job.name.partition("/")[0]} & {*owners}
            ):
                continue
            if job.as_of is None and is_over:
                replace(journal, is_settled=True).write(job.folder)


def _of_a_cluster(shell: Shell) -> Settings | None:
    """Return settings with the cluster that there is beside the local launcher, if there is one."""
    usual = read_settings(shell.home.root)  # without what the command line says
    if outlives_us(usual):
        return usual
    known = [name for name in _CLUSTERS if name in usual.sections]
    return replace(usual, launcher=known[0]) if len(known) == 1 else None

"""The `Scheduler` of Slurm, by its commands. Works where scontrol or sacct are missing, with fewer words."""

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from foedus.launch import _files
from foedus.launch.cluster import Order, Refused, Sight, Unreachable
from foedus.launch.folder import JobFolder
from foedus.launch.slurm.arguments import ENVIRONMENT, PROLOGUE, sbatch_arguments
from foedus.launch.slurm.commands import Commands, job_environment
from foedus.launch.slurm.fields import check_path, check_resources, check_site
from foedus.launch.slurm.parsing import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    sacct_jobs,
    scontrol_job,
    squeue_jobs,
)
from foedus.launch.slurm.refusals import with_limit
from foedus.launch.slurm.site import SlurmSite
from foedus.launch.slurm.words import NativeJob, seen

_PARSABLE = re.compile(r"([0-9]{1,10})(;[A-Za-z0-9_.-]{1,64})?", re.ASCII)
_UNEXPLAINED = "FAILED"  # the state whose cause is not in the word itself: it ended with some code or signal
_ENDED_ALREADY = ("invalid job id", "already completing", "already finished")  # in scancel's words
_SACCT_DAYS = 30


class SlurmScheduler:
    """Implements `foedus.launch.cluster.Scheduler`. One `squeue` per `look`; more only for what has ended."""

    def __init__(self, site: SlurmSite) -> None:
        check_site(site)
        self._site = site
        self._commands = Commands(site)
        self._user = str(os.getuid())  # names are looked up in variables that may be somebody else's

    def check(self, order: Order) -> None:
        """Raise `InvalidSpec` for resources, or a folder, that Slurm cannot be given."""
        check_path("the job folder", order.folder)
        check_resources(order.resources)

    def submit(self, order: Order) -> str:
        """Queue the job; see `Scheduler`."""
        if self._site.prologue:
            _files.write_atomic(JobFolder(order.folder).path, PROLOGUE, [self._site.prologue.encode()])
        _files.write_atomic(JobFolder(order.folder).path, ENVIRONMENT, [_pairs(job_environment())])
        try:
            said = self._commands.run("sbatch", sbatch_arguments(order, self._site))
        except Refused as error:
            raise Refused(with_limit(error.message, order.resources.walltime_s)) from error
        found = _PARSABLE.fullmatch(said.strip().splitlines()[-1] if said.strip() else "")
        if found is None:
            raise Unreachable(f"sbatch answered {said[:80]!r} instead of a batch job's id")
        return found[1]

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Ask squeue for all of this user's batch jobs; see `Scheduler`."""
        wanted = set(names)
        try:
            text = self._commands.run("squeue", self._squeue_arguments())
        except Refused as error:  # it need not say no to a question: something is out of order
            raise Unreachable(f"squeue fails: {error.message}") from error
        found = {job.name: job for job in _newest(squeue_jobs(text)) if job.name in wanted}
        failed = {name: job for name, job in found.items() if job.state == _UNEXPLAINED}
        found |= self._ends(wanted - found.keys(), failed)
        return {name: seen(job) for name, job in found.items()}

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Stop the job by its name: its id may be another job's by now."""
        arguments = ["--quiet", f"--name={name}", f"--user={self._user}", *self._clusters()]
        try:
            self._commands.run("scancel", arguments)
        except Refused as error:
            raise Unreachable(f"scancel fails: {error.message}") from error
        except Unreachable as error:
            if not any(words in error.message.lower() for words in _ENDED_ALREADY):
                raise

    def log(self, name: str, scheduler_id: str) -> str:
        """Return nothing: the output is in the job folder."""
        return ""

    # --- asking ---

    def _squeue_arguments(self) -> list[str]:
        listing = ["--noheader", "--states=all", f"--user={self._user}", f"--format={SQUEUE_FORMAT}"]
        return [*listing, *self._clusters()]

    def _clusters(self) -> list[str]:
        return [f"--clusters={self._site.cluster}"] if self._site.cluster else []

    def _ends(self, forgotten: Collection[str], failed: Mapping[str, NativeJob]) -> Mapping[str, NativeJob]:
        """Return how those ended that the controller has forgotten, and with which code the failed ones.

        sacct and scontrol may be missing or slow: all questions together get the time of one command.
        """
        until = time.monotonic() + self._site.timeout_s
        known = self._accounted({*forgotten, *failed}, until)
        # what the controller has forgotten does not run, even if the database never heard of its end
        ends = {name: job for name, job in known.items() if name in forgotten and seen(job).state.is_final}
        for name, job in failed.items():
            told = _with_code(job, known.get(name))
            ends[name] = told if told.exit_code is not None else self._detailed(job, until)
        return ends

    def _detailed(self, job: NativeJob, until: float) -> NativeJob:
        arguments = ["--oneliner", *self._clusters(), "show", "job", job.scheduler_id]
        return _with_code(job, scontrol_job(self._answer("scontrol", arguments, until)))

    def _accounted(self, names: Collection[str], until: float) -> Mapping[str, NativeJob]:
        """Ask the accounting database, where there is one."""
        if not names:
            return {}
        arguments = ["--allocations", "--parsable2", "--noheader", f"--format={SACCT_FORMAT}"]
        arguments += [f"--starttime=now-{_SACCT_DAYS}days", f"--user={self._user}", *self._clusters()]
        text = self._answer("sacct", [*arguments, f"--name={','.join(sorted(names))}"], until)
        return {job.name: job for job in sacct_jobs(text) if job.name in names}

    def _answer(self, command: str, arguments: Sequence[str], until: float) -> str:
        """Return what a command says that may fail; nothing where there is no time left to ask."""
        left_s = until - time.monotonic()
        if left_s <= 0:
            return ""
        try:
            return self._commands.run(command, arguments, left_s)
        except (Refused, Unreachable):
            return ""


def _with_code(job: NativeJob, known: NativeJob | None) -> NativeJob:
    """Add the exit code that is known, if it is of the same end."""
    if known is None or _end(known) != _end(job):
        return job
    return replace(job, exit_code=known.exit_code, exit_signal=known.exit_signal)


def _end(job: NativeJob) -> tuple[str, str, str]:
    return job.scheduler_id, job.name, job.state


def _pairs(variables: Mapping[str, str]) -> bytes:
    """Return variables as sbatch reads them from a file."""
    return b"".join(f"{name}={value}\0".encode(errors="surrogateescape") for name, value in variables.items())


def _newest(jobs: Iterable[NativeJob]) -> list[NativeJob]:
    """Put the greatest id last, so that it counts where a name came twice."""
    return sorted(jobs, key=lambda job: int(job.scheduler_id))

"""The `Scheduler` of Slurm, by its commands. Works where scontrol or sacct are missing, with fewer words."""

import os
import re
from collections.abc import Collection, Iterable, Mapping

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
from foedus.launch.slurm.site import SlurmSite
from foedus.launch.slurm.words import NativeJob, seen

_PARSABLE = re.compile(r"([0-9]{1,10})(;[A-Za-z0-9_.-]{1,64})?", re.ASCII)
_UNFINISHED = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "COMPLETED")
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
        said = self._commands.run("sbatch", sbatch_arguments(order, self._site))
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
        missing = wanted - found.keys()
        if missing:
            found |= {job.name: job for job in self._accounted(missing)}
        return {name: seen(self._with_details(job)) for name, job in found.items()}

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Stop the job by its name: its id may be another job's by now."""
        arguments = ["--quiet", f"--name={name}", f"--user={self._user}", *self._clusters()]
        try:
            self._commands.run("scancel", arguments)
        except Refused as error:
            if "invalid job id" not in str(error).lower() and "already" not in str(error).lower():
                raise Unreachable(f"scancel refuses: {error.message}") from error

    def log(self, name: str, scheduler_id: str) -> str:
        """Return nothing: the output is in the job folder."""
        return ""

    # --- asking ---

    def _squeue_arguments(self) -> list[str]:
        listing = ["--noheader", "--states=all", f"--user={self._user}", f"--format={SQUEUE_FORMAT}"]
        return [*listing, *self._clusters()]

    def _clusters(self) -> list[str]:
        return [f"--clusters={self._site.cluster}"] if self._site.cluster else []

    def _accounted(self, names: Collection[str]) -> Iterable[NativeJob]:
        """Ask the accounting database for jobs that the controller has forgotten, where there is one."""
        arguments = ["--allocations", "--parsable2", "--noheader", f"--format={SACCT_FORMAT}"]
        arguments += [f"--starttime=now-{_SACCT_DAYS}days", f"--user={self._user}", *self._clusters()]
        try:
            text = self._commands.run("sacct", [*arguments, f"--name={','.join(sorted(names))}"])
        except (Refused, Unreachable):
            return ()
        return [job for job in sacct_jobs(text) if job.name in names]

    def _with_details(self, job: NativeJob) -> NativeJob:
        """Add what only scontrol, or else sacct, knows of a job that has ended badly."""
        if job.state in _UNFINISHED or job.exit_code is not None:
            return job
        arguments = ["--oneliner", *self._clusters(), "show", "job", job.scheduler_id]
        try:
            found = scontrol_job(self._commands.run("scontrol", arguments))
            if found is not None and found.name == job.name and found.state == job.state:
                return found
        except (Refused, Unreachable):
            pass
        accounted = [known for known in self._accounted([job.name]) if known.state == job.state]
        return accounted[-1] if accounted else job


def _pairs(variables: Mapping[str, str]) -> bytes:
    """Return variables as sbatch reads them from a file."""
    return b"".join(f"{name}={value}\0".encode(errors="surrogateescape") for name, value in variables.items())


def _newest(jobs: Iterable[NativeJob]) -> list[NativeJob]:
    """Put the greatest id last, so that it counts where a name came twice."""
    return sorted(jobs, key=lambda job: int(job.scheduler_id))

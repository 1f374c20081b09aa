"""The `Scheduler` of Slurm through slurmrestd, for machines without Slurm's commands."""

import re
from collections.abc import Collection, Mapping
from typing import NoReturn

from foedus.core.errors import InvalidSpec
from foedus.launch import _files
from foedus.launch.cluster import Order, Refused, Sight, Unreachable
from foedus.launch.folder import JobFolder
from foedus.launch.slurm.arguments import PROLOGUE
from foedus.launch.slurm.fields import check_path, check_resources, check_site
from foedus.launch.slurm.refusals import REFUSALS, with_limit
from foedus.launch.slurm.rest_body import submission
from foedus.launch.slurm.rest_http import Answer, RestClient
from foedus.launch.slurm.rest_json import accepted_id, native_jobs, trouble
from foedus.launch.slurm.site import SlurmSite
from foedus.launch.slurm.words import NativeJob, seen

_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
_OK, _BAD_REQUEST = 200, 400
_UNKNOWN_ID, _ENDED_ALREADY = 2017, 2021
_OWN_ERRORS = range(2000, 5000)  # Slurm's answers to what was asked; other numbers tell of the way there


class RestSlurmScheduler:
    """Implements `foedus.launch.cluster.Scheduler`. One question per `look`: for all batch jobs of the site.

    Slurm sends no warning signal to what is submitted here; our own supervisor warns in time.
    """

    def __init__(self, site: SlurmSite) -> None:
        check_site(site)
        if site.rest is None or site.cluster:
            raise InvalidSpec(
                "slurmrestd needs slurm.rest.url, and speaks for one cluster",
                "Set slurm.rest.url and slurm.rest.token_file in config.toml, and leave slurm.cluster empty.",
            )
        self._site, self._version = site, site.rest.version
        self._client = RestClient(site.rest, site.timeout_s)

    def check(self, order: Order) -> None:
        """Raise `InvalidSpec` for resources, a folder or arguments that Slurm cannot be given."""
        check_path("the job folder", order.folder)
        check_resources(order.resources)
        self._submission(order)

    def submit(self, order: Order) -> str:
        """Queue the job; see `Scheduler`."""
        if self._site.prologue:
            _files.write_atomic(JobFolder(order.folder).path, PROLOGUE, [self._site.prologue.encode()])
        answer = self._client.ask("POST", "job/submit", self._submission(order))
        scheduler_id = accepted_id(answer.values) if answer.status == _OK else None
        if scheduler_id is None:
            self._say_why(answer, order)
        return scheduler_id

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Ask for all batch jobs and pick ours; see `Scheduler`."""
        wanted = set(names)
        newest_last = sorted(self._jobs("jobs"), key=lambda job: int(job.scheduler_id))
        return {job.name: seen(job) for job in newest_last if job.name in wanted}

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Stop the job by the ids that have its name now: the one given may be another job's by now."""
        known = self._jobs(f"job/{scheduler_id}") if _ID.fullmatch(scheduler_id) else []
        ours = [job for job in known if job.name == name]
        for job in ours or [job for job in self._jobs("jobs") if job.name == name]:
            answer = self._client.ask("DELETE", f"job/{job.scheduler_id}")
            numbers = trouble(answer.values).numbers
            if answer.status != _OK and not numbers & {_UNKNOWN_ID, _ENDED_ALREADY}:
                raise self._unreachable(answer)

    def log(self, name: str, scheduler_id: str) -> str:
        """Return nothing: the output is in the job folder."""
        return ""

    # --- asking ---

    def _submission(self, order: Order) -> bytes:
        return submission(order, self._site, self._version, self._client.user)

    def _jobs(self, path: str) -> list[NativeJob]:
        """Return our batch jobs there. An answer that tells of any trouble tells nothing of batch jobs."""
        answer = self._client.ask("GET", path)
        told = trouble(answer.values)
        if _UNKNOWN_ID in told.numbers:
            return []
        if answer.status != _OK or told:
            raise self._unreachable(answer)
        try:
            return list(native_jobs(answer.values, self._client.user))
        except ValueError as error:
            raise Unreachable(f"slurmrestd answers with something else: {error}") from error

    def _say_why(self, answer: Answer, order: Order) -> NoReturn:
        """Raise the error for a batch job that was not taken, or not known to be."""
        told = trouble(answer.values)
        is_own = any(number in _OWN_ERRORS for number in told.numbers)
        if told.numbers & REFUSALS or (answer.status == _BAD_REQUEST and told and not is_own):
            raise Refused(with_limit(told.words, order.resources.walltime_s))
        raise self._unreachable(answer)

    def _unreachable(self, answer: Answer) -> Unreachable:
        told = trouble(answer.values)
        if answer.status == _OK or any(number in _OWN_ERRORS for number in told.numbers):
            return Unreachable(f"slurmrestd answers {answer.status}: {told.words or 'not what was asked'}")
        return self._client.unheard(told.words or str(answer.status))

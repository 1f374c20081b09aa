"""Taking on a job on this machine: what must be true of its folder, and what becomes of it there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from foedus.core.canonical import Json
from foedus.core.errors import HomeInUse, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch._schedule import Job
from foedus.launch.cluster.ended import attempt_with_result, newest_outcome
from foedus.launch.cluster.journal import Journal
from foedus.launch.folder import JobFolder


def admitted(spec: JobSpec, key: str, retries: int) -> Job:
    """Make the job's record: completed if its result is there, else to be queued, in a cleared folder.

    Raises `InvalidSpec` and `HomeInUse`, as `LocalLauncher.submit` does.
    """
    if not key or not spec.resources.walltime_s > 0:
        raise InvalidSpec("a job needs a key and a time limit above 0 s")
    folder = JobFolder(spec.folder)
    if not folder.has_spec():
        raise InvalidSpec(f"{spec.folder!r} is no job folder", "It must be a folder that holds spec.json.")
    job = Job(key, spec, folder, retries, JobStatus(NativeId(key), JobState.QUEUED))
    try:
        journal = _journal_of(folder, key)
        if folder.has_result_of(key):
            job.becomes(JobState.COMPLETED)
            return job
        _require_alone(folder, journal, spec)
        if journal is not None and not journal.is_settled:
            replace(journal, is_settled=True).write(folder)
        folder.begin(key, spec.resources)
    except (OSError, ValueError) as error:
        raise InvalidSpec(f"the job folder {spec.folder!r} cannot be written to: {error}") from error
    job.is_admitted()
    return job


def _journal_of(folder: JobFolder, key: str) -> Journal | None:
    """Return the job's journal where a cluster had it, after taking over its result. Raises OSError."""
    journal = Journal.read(folder)
    if journal is None or journal.key != key:
        return None
    attempt = None if folder.has_result_of(key) else attempt_with_result(folder)
    if attempt is not None:
        folder.adopt(attempt)
    return journal


def _require_alone(folder: JobFolder, journal: Journal | None, spec: JobSpec) -> None:
    """Raise `HomeInUse` where somebody else is at work on the job: two would do the same."""
    if folder.is_held():
        raise HomeInUse(f"another process is at work in {str(folder.path)!r}", "Wait for its end.")
    if journal is None or _has_ended(folder, journal, spec):
        return
    raise HomeInUse(
        f"the batch job {journal.full_name} of a cluster is not known to have ended: it may be at work in "
        f"{str(folder.path)!r}",
        "Go on with it by the launcher that it was submitted with, or end it there: "
        f"foedus job cancel {_known_as(folder.path)}",
    )


def _has_ended(folder: JobFolder, journal: Journal, spec: JobSpec) -> bool:
    """Whether the job's end on a cluster was told, or its newest attempt says that it is over."""
    outcome = newest_outcome(folder, spec.resources, journal.number)
    return journal.is_settled or outcome is not None or _says_the_end(folder.read_status() or {}, journal)


def _says_the_end(status: Mapping[str, Json], journal: Journal) -> bool:
    with suppress(ValueError):
        return status.get("native_id") == journal.name and JobState(str(status.get("state"))).is_final
    return False


def _known_as(folder: Path) -> str:
    """Return the name by which the command line knows a batch job: RUN/STEP/TASK, or that of an application.

    It is the path below the home folder, in which runs are in `runs` and batch jobs in `jobs`.
    """
    parts = folder.parts
    places = [place for place, part in enumerate(parts) if part == "jobs"]
    if not places:
        return str(folder)
    run = parts[places[-1] - 1 : places[-1]] if parts[places[-1] - 2 : places[-1] - 1] == ("runs",) else ()
    return "/".join((*run, *parts[places[-1] + 1 :]))

"""Taking on a job on this machine: what must be true of its folder, and what becomes of it there."""

from foedus.core.errors import HomeInUse, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch._schedule import Job
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
    if folder.has_result_of(key):
        job.becomes(JobState.COMPLETED)
        return job
    _require_alone(folder, key)
    try:
        folder.begin(key, spec.resources)
    except (OSError, ValueError) as error:
        raise InvalidSpec(f"the job folder {spec.folder!r} cannot be written to: {error}") from error
    job.is_admitted()
    return job


def _require_alone(folder: JobFolder, key: str) -> None:
    """Raise `HomeInUse` where somebody else is at work on the job: two would write into the same files."""
    if folder.is_held():
        raise HomeInUse(f"another process is at work in {str(folder.path)!r}", "Wait for its end.")
    journal = Journal.read(folder)
    if journal is not None and journal.key == key and not journal.is_settled:
        name = journal.full_name
        hint = (
            f"Go on with it by the launcher that it was submitted with, or end it: foedus job cancel {name}"
        )
        raise HomeInUse(f"the batch job {name} of a cluster is at work in {str(folder.path)!r}", hint)

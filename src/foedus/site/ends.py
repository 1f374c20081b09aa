"""What the attempts of a cluster's batch job tell of its end before anybody has taken that over."""

from collections.abc import Mapping

from foedus.core.canonical import Json
from foedus.core.records import JobState, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster.ended import attempt_with_result, newest_attempt, newest_outcome
from foedus.launch.cluster.journal import Journal


def own_end(folder: JobFolder, journal: Journal, asked: Mapping[str, Json]) -> tuple[JobState, str] | None:
    """Return how it ended by itself, and why; None where its attempts do not say so.

    The same rule as the launcher's: a result counts in any case, an error unless it is to go on.
    """
    if attempt_with_result(folder) is not None:
        return JobState.COMPLETED, ""
    outcome = newest_outcome(folder, asked_for(asked), journal.number)
    if outcome is None or outcome.failure is None or outcome.is_interrupted or journal.is_cancelled:
        return None
    return JobState.FAILED, str(outcome.failure)


def exit_report(folder: JobFolder, journal: Journal | None) -> Mapping[str, Json]:
    """Return how its process ended, as noted by whoever ran it; empty where nobody did (yet)."""
    report = folder.read_exit()
    if report is None and journal is not None:
        attempt = newest_attempt(folder, journal.number)
        report = JobFolder(folder.path, attempt).read_exit() if attempt else None
    return report or {}


def asked_for(noted: Mapping[str, Json]) -> Resources:
    """Return the limits that a batch job's note tells, for words about its end."""
    memory_mb, walltime_s = noted.get("memory_mb"), noted.get("walltime_s")
    return Resources(
        memory_mb=memory_mb if type(memory_mb) is int else None,
        walltime_s=walltime_s if isinstance(walltime_s, int | float) else float("inf"),
    )

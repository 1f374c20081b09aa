"""The batch jobs of a home folder, as their folders tell: of runs, of held allocations, of applications.

What the cluster says of those that have not ended is asked in `client.looking`.
"""

import difflib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.launch.folder import SPEC
from foedus.launch.held.post import APPLICATION as HOLD
from foedus.rounds.home import Home
from foedus.site.ends import exit_report, own_end

_APPLICATIONS = {
    "train": "FL_TRAIN",
    "aggregate": "FL_AGGREGATE",
    "verify": "FL_VERIFY",
    "prepare": "FL_PREPARE",
}
_SUGGESTIONS = 3
_LATEST_S = 1e12  # no moment and no duration is larger, unless somebody wrote nonsense
_SILENT = "it waits for a worker of a command that runs now, or was interrupted"


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch job. `name` is the path of its folder below the home folder, without what all paths have.

    `client` is whose work it does in a run. An application has `parameters`, and `dataset` names what its
    output is registered as.
    `scheduler_id` and `scheduler_state` are the scheduler's own words; empty for jobs of local workers, and
    the state where a result or failure was found before the scheduler was asked again. `queued_s` and
    `running_s` are None where nobody saw when it was queued, or began. `as_of` is when its state was noted
    (seconds since 1970) if the cluster alone knows what it is now, else None; durations end there.
    """

    name: str
    application: str
    client: str
    parameters: Mapping[str, Json]
    dataset: str
    state: JobState
    cause: str
    attempt: int
    scheduler_id: str
    scheduler_state: str
    node: str
    queued_s: float | None
    running_s: float | None
    resources: Mapping[str, Json]
    folder: JobFolder
    changed_at: float
    as_of: float | None
    journal: Journal | None = field(repr=False)

    @property
    def is_on_cluster(self) -> bool:
        """Whether it was submitted to a cluster's scheduler."""
        return self.journal is not None

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "journal"}
        return values | {"folder": str(self.folder.path), "is_on_cluster": self.is_on_cluster}


def batch_jobs(home: Home) -> list[BatchJob]:
    """Return all batch jobs, the one that changed last first."""
    found = [_read(name, path) for name, path in _folders(home)]
    return sorted(found, key=lambda job: (-job.changed_at, job.name))


def find_batch_job(home: Home, name: str) -> BatchJob:
    """Return the batch job of this name, or the only one whose name begins so. Raises `InvalidSpec`."""
    folders = dict(_folders(home))
    matching = [name] if name in folders else [known for known in folders if known.startswith(name)]
    if len(matching) == 1:
        return _read(matching[0], folders[matching[0]])
    if matching:
        shown = ", ".join(sorted(matching)[:_SUGGESTIONS])
        raise InvalidSpec(f"{name!r} may be any of {len(matching)} batch jobs", f"Among them: {shown}.")
    close = difflib.get_close_matches(name, folders, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else "`foedus job list` names them."
    raise InvalidSpec(f"there is no batch job {name!r} in {home.root}", hint)


def tasks_of(home: Home, run: str, number: int | None = None) -> list[BatchJob]:
    """Return the batch jobs of a run's tasks, or of one round of it, the one that changed last first."""
    jobs = home.runs / run / "jobs"
    folders = [jobs] if number is None else jobs.glob(f"r{number:05d}.*")
    paths = (path for folder in folders for path in _below(folder))
    found = [_read("/".join([run, *path.relative_to(jobs).parts]), path) for path in paths]
    return sorted(found, key=lambda job: (-job.changed_at, job.name))


def allocations(home: Home, run: str) -> list[BatchJob]:
    """Return the held allocations of a run."""
    held = home.runs / run / "held"
    return [_read("/".join(path.relative_to(home.runs).parts), path) for path in _below(held)]


def _folders(home: Home) -> Iterator[tuple[str, Path]]:
    """Yield name and folder of all job folders."""
    for run in home.runs.glob("*"):
        for path in _below(run / "jobs"):
            yield "/".join([run.name, *path.relative_to(run / "jobs").parts]), path
        for path in _below(run / "held"):
            yield "/".join(path.relative_to(home.runs).parts), path
    for path in _below(home.root / "jobs"):
        yield "/".join(path.relative_to(home.root / "jobs").parts), path


def _below(folder: Path) -> Iterator[Path]:
    """Yield the job folders: they hold `spec.json`, and no other job folders. What vanishes is left out."""
    for path, folders, files in os.walk(folder):
        if SPEC in files:
            folders.clear()
            yield Path(path)


def _read(name: str, path: Path) -> BatchJob:
    folder = JobFolder(path)
    status = folder.read_status() or {}
    journal = Journal.read(folder)
    if journal is not None and status.get("native_id", journal.name) != journal.name:
        journal = None  # it was on a cluster once; a local worker had it last
    resources = folder.read_note().get("resources")
    asked = resources if isinstance(resources, Mapping) else {}
    state, cause = _state(name, folder, status, journal, asked)
    spec, ended = _spec(folder), exit_report(folder, journal)
    as_of = _noted_at(status) if journal is not None and not state.is_final else None
    queued_s, running_s = _times(folder, status, ended, state, as_of)
    is_seen_here = state is JobState.COMPLETED or (
        state is JobState.FAILED and folder.read_failure() is not None
    )
    return BatchJob(
        name=name,
        application=_application(name, spec),
        client=_text(spec.get("client")) or _text(spec.get("affinity")),
        parameters=_parameters(spec),
        dataset=_text(spec.get("dataset")),
        state=state,
        cause=cause,
        attempt=_count(status.get("attempt")),
        scheduler_id=_text(status.get("scheduler_id")),
        scheduler_state="" if is_seen_here else _text(status.get("scheduler_state")),
        node=_text(ended.get("host")),
        queued_s=queued_s,
        running_s=running_s,
        resources=asked,
        folder=folder,
        changed_at=_changed_at(path),
        as_of=as_of,
        journal=journal,
    )


def _noted_at(status: Mapping[str, Json]) -> float:
    """Return when its state was noted; now where it was not."""
    seen = status.get("times")
    moments = seen.values() if isinstance(seen, Mapping) else ()
    return max((m for m in map(_moment, moments) if m is not None), default=time.time())


def _changed_at(folder: Path) -> float:
    """Return when the newest of its files was written; 0 for a folder that is gone."""
    newest = 0.0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # it is gone: a temporary file that was renamed, say
                if entry.is_file():
                    newest = max(newest, entry.stat().st_mtime)
    return newest


def _state(
    name: str,
    folder: JobFolder,
    status: Mapping[str, Json],
    journal: Journal | None,
    asked: Mapping[str, Json],
) -> tuple[JobState, str]:
    """Return what its launcher noted last, unless the outcome says more."""
    noted, cause = _noted(status)
    if noted is not None and noted.is_final:
        return noted, cause
    if folder.has_result():
        try:
            return (JobState.COMPLETED, "") if folder.read_result() is not None else (JobState.UNKNOWN, "")
        except TaskFailed as damaged:
            return JobState.FAILED, str(damaged)
    if noted is JobState.RUNNING and journal is None and not folder.is_held():
        return JobState.LOST, f"the command that ran it is gone; `{resuming(name)}` does it again"
    if journal is not None and (own := own_end(folder, journal, asked)) is not None:
        return own
    if noted is not None:
        return noted, cause
    failure = folder.read_failure()
    if failure is not None:
        return JobState.FAILED, str(failure)
    return JobState.UNKNOWN, _SILENT


def resuming(name: str) -> str:
    """Return the command that goes on with a batch job."""
    run, sign, _ = name.partition("/")
    return f"foedus resume {run}" if sign else f"foedus app resume {name}"


def _noted(status: Mapping[str, Json]) -> tuple[JobState | None, str]:
    try:
        return JobState(_text(status.get("state"))), _text(status.get("cause"))
    except ValueError:
        return None, ""


def _times(
    folder: JobFolder,
    status: Mapping[str, Json],
    ended: Mapping[str, Json],
    state: JobState,
    as_of: float | None,
) -> tuple[float | None, float | None]:
    """Return how long it was queued and how long it runs or ran, in seconds; None where nobody saw it."""
    seen = status.get("times")
    times = seen if isinstance(seen, Mapping) else {}
    queued, running = _moment(times.get("queued")) or folder.begun_at(), _moment(times.get("running"))
    end = _moment(times.get(state)) if state.is_final else as_of or time.time()
    running_s = _moment(ended.get("seconds")) if state.is_final else None
    if running_s is None and running and end:
        running_s = max(0.0, end - running)
    if running is None and end and running_s is not None:
        running = end - running_s
    until = running or end
    return (max(0.0, until - queued) if queued and until else None), running_s


def _spec(folder: JobFolder) -> Mapping[str, Any]:
    try:
        return folder.read_spec()
    except InvalidSpec:
        return {}


def _application(name: str, spec: Mapping[str, Any]) -> str:
    if "/held/" in name:
        return HOLD
    return _text(spec.get("application")) or _APPLICATIONS.get(_text(spec.get("kind")), "?")


def _parameters(spec: Mapping[str, Any]) -> Mapping[str, Json]:
    found = spec.get("parameters") if "application" in spec else None
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 1


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _LATEST_S else None

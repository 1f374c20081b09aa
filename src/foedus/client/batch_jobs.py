"""The batch jobs of a home folder, as their folders tell: of runs and of single applications."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home

_APPLICATIONS = {
    "train": "FL_TRAIN",
    "aggregate": "FL_AGGREGATE",
    "verify": "FL_VERIFY",
    "prepare": "FL_PREPARE",
}
_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch job. `name` is the path of its folder below the home folder, without what all paths have.

    `scheduler_id` and `scheduler_state` are the scheduler's own words; empty for jobs of local workers.
    """

    name: str
    application: str
    state: JobState
    cause: str
    attempt: int
    scheduler_id: str
    scheduler_state: str
    folder: JobFolder
    changed_at: float

    @property
    def is_on_cluster(self) -> bool:
        """Whether it was submitted to a cluster's scheduler."""
        return Journal.read(self.folder) is not None

    def to_json(self) -> Mapping[str, object]:
        """Return plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
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


def _folders(home: Home) -> Iterator[tuple[str, Path]]:
    """Yield name and folder of all job folders: they hold `spec.json`."""
    for path in sorted(home.runs.glob("*/jobs/**/spec.json")):
        folder = path.parent
        run, _, *rest = folder.relative_to(home.runs).parts
        yield "/".join([run, *rest]), folder
    for path in sorted((home.root / "jobs").glob("*/spec.json")):
        yield path.parent.name, path.parent


def _read(name: str, path: Path) -> BatchJob:
    folder = JobFolder(path)
    status = folder.read_status() or {}
    state, cause = _state(folder, status)
    return BatchJob(
        name,
        _application(folder),
        state,
        cause,
        _count(status.get("attempt")),
        _text(status.get("scheduler_id")),
        _text(status.get("scheduler_state")),
        folder,
        max((file.stat().st_mtime for file in path.iterdir() if file.is_file()), default=0.0),
    )


def _state(folder: JobFolder, status: Mapping[str, Json]) -> tuple[JobState, str]:
    """Return what the outcome says, else what its launcher noted last."""
    try:
        if folder.read_result() is not None:
            return JobState.COMPLETED, ""
    except TaskFailed as damaged:
        return JobState.FAILED, str(damaged)
    if status:
        try:
            return JobState(_text(status.get("state"))), _text(status.get("cause"))
        except ValueError:
            return JobState.UNKNOWN, "its status.json is damaged"
    failure = folder.read_failure()
    if failure is not None:
        return JobState.FAILED, str(failure)
    return JobState.UNKNOWN, "it belongs to a command that runs now, or was interrupted"


def _application(folder: JobFolder) -> str:
    try:
        spec: Mapping[str, Any] = folder.read_spec()
    except InvalidSpec:
        return "?"
    return _text(spec.get("application")) or _APPLICATIONS.get(_text(spec.get("kind")), "?")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 1

"""Batch jobs on the private cluster, submitted by the launcher under test."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from foedus.core.canonical import Json
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.cluster.journal import Journal
from foedus.launch.slurm import SlurmSite, scheduler_for

LIMIT_S = 150.0
LONGEST_CALL_S = 30.0
PROGRAM = Program("batch_application:application", path=(str(Path(__file__).parents[1]),))
TIMES = Times(poll_s=1.0, slow_poll_s=2.0, lost_s=10.0, settle_s=3.0)
T = TypeVar("T")


@dataclass
class Batch:
    """Submits below `root`, waits, and watches that no call takes longer than it may."""

    launcher: ClusterLauncher
    root: Path
    folders: dict[NativeId, JobFolder] = field(default_factory=dict)
    seen: dict[NativeId, list[JobStatus]] = field(default_factory=dict)

    def submit(self, name: str, do: dict[str, Json], **resources: object) -> NativeId:
        folder = JobFolder(self.root / name)
        folder.path.mkdir(mode=0o700, exist_ok=True)
        folder.write_spec(do)
        asked = Resources(**{"walltime_s": 600, "memory_mb": 300, **resources})  # type: ignore[arg-type]
        spec = JobSpec("TEST", str(folder.path), asked)
        native_id = _timed(lambda: self.launcher.submit(spec, name))
        self.folders[native_id] = folder
        self.seen.setdefault(native_id, [])
        return native_id

    def status(self, native_id: NativeId, wait_s: float = 0.0) -> JobStatus:
        status = _timed(lambda: self.launcher.states([native_id], wait_s))[native_id]
        if status not in self.seen[native_id][-1:]:
            self.seen[native_id].append(status)
        return status

    def wait(self, native_id: NativeId, *states: JobState, limit_s: float = LIMIT_S) -> JobStatus:
        """Wait for one of these states, or the end."""
        deadline = time.monotonic() + limit_s
        while True:
            status = self.status(native_id, 0.5)
            if status.state in states or status.state.is_final:
                return status
            assert time.monotonic() < deadline, f"still {status} after {limit_s:g} s"

    def cancel(self, native_id: NativeId) -> None:
        _timed(lambda: self.launcher.cancel(native_id))

    def result(self, native_id: NativeId) -> dict[str, Json]:
        """Return the job's result; nothing of its attempts may be left beside it."""
        folder = self.folders[native_id]
        assert folder.attempts() == []
        result = folder.read_result()
        assert result is not None
        return dict(result)

    def name(self, native_id: NativeId) -> str:
        """Return the name that Slurm knows the newest submission by."""
        journal = Journal.read(self.folders[native_id])
        assert journal is not None
        return journal.full_name


@contextmanager
def batch(root: Path, times: Times = TIMES, site: SlurmSite | None = None) -> Iterator[Batch]:
    """Open a launcher on the cluster that SLURM_CONF names, or on a site."""
    with ClusterLauncher(scheduler_for(site or SlurmSite()), PROGRAM, times) as launcher:
        yield Batch(launcher, root)


def _timed(call: Callable[[], T]) -> T:
    began = time.monotonic()
    result = call()
    assert time.monotonic() - began < LONGEST_CALL_S
    return result

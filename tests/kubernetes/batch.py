"""Batch jobs on the fake Kubernetes, submitted by the launcher under test."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes.fake_api import FakeApi
from tests.kubernetes.makers import site_of

from foedus.core.canonical import Json
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.cluster.journal import Journal
from foedus.launch.folder import CHECKPOINT
from foedus.launch.kubernetes import KubernetesScheduler

LIMIT_S = 60.0
TIMES = Times(poll_s=0.1, slow_poll_s=0.2, settle_s=1.0, lost_s=1.0)
PROGRAM = Program("batch_application:application", path=(str(Path(__file__).parents[1]),))


@dataclass
class Batch:
    """Submits below `root`, waits, and keeps what was said of each job."""

    launcher: ClusterLauncher
    api: FakeApi
    root: Path
    folders: dict[NativeId, JobFolder] = field(default_factory=dict)
    seen: dict[NativeId, list[JobStatus]] = field(default_factory=dict)

    def submit(self, name: str, do: dict[str, Json], **resources: object) -> NativeId:
        folder = JobFolder(self.root / name)
        folder.path.mkdir(mode=0o700, exist_ok=True)
        folder.write_spec(do)
        asked = Resources(**{"walltime_s": 600.0, **resources})  # type: ignore[arg-type]
        native_id = self.launcher.submit(JobSpec("TEST", str(folder.path), asked), name)
        self.folders[native_id] = folder
        self.seen.setdefault(native_id, [])
        return native_id

    def status(self, native_id: NativeId, wait_s: float = 0.0) -> JobStatus:
        status = self.launcher.states([native_id], wait_s)[native_id]
        if status not in self.seen[native_id][-1:]:
            self.seen[native_id].append(status)
        return status

    def wait(self, native_id: NativeId, *states: JobState) -> JobStatus:
        """Wait for one of these states, or the end."""
        return self.wait_until(native_id, lambda status: status.state in states or status.state.is_final)

    def wait_until(self, native_id: NativeId, met: Callable[[JobStatus], bool]) -> JobStatus:
        """Wait until it is so of the job's status."""
        deadline = time.monotonic() + LIMIT_S
        while not met(status := self.status(native_id, 0.2)):
            assert time.monotonic() < deadline, f"still {status}; before: {self.seen[native_id][-5:]}"
        return status

    def result(self, native_id: NativeId) -> dict[str, Json]:
        """Return the job's result; nothing of its attempts may be left beside it."""
        folder = self.folders[native_id]
        assert folder.attempts() == []
        result = folder.read_result()
        assert result is not None
        return dict(result)

    def name(self, native_id: NativeId) -> str:
        """Return the name of the newest submission's Job."""
        journal = Journal.read(self.folders[native_id])
        assert journal is not None
        return journal.full_name

    def has_checkpoint(self, native_id: NativeId) -> bool:
        """Whether the newest attempt has written one."""
        folder = self.folders[native_id]
        attempts = folder.attempts()
        return bool(attempts) and (folder.path / attempts[-1] / CHECKPOINT).exists()


@contextmanager
def batch(
    api: FakeApi, root: Path, times: Times = TIMES, program: Program = PROGRAM, **settings: object
) -> Iterator[Batch]:
    """Open a launcher on the fake server, for job folders below `root`."""
    defaults: dict[str, object] = {"grace_s": 5, "timeout_s": 2.0}
    scheduler = KubernetesScheduler(site_of(api, root, root, **(defaults | settings)))
    with ClusterLauncher(scheduler, program, times) as launcher:
        yield Batch(launcher, api, root)


def created(api: FakeApi) -> int:
    """Count the Jobs that were asked for."""
    return sum(request.startswith("POST") for request in api.requests)

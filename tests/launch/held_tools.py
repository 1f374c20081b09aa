"""Held allocations for tests: batch jobs are processes of this machine, and their owner may be killed."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.launch.process_scheduler import ProcessScheduler

from foedus.core.canonical import Json
from foedus.core.errors import FoedusError
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import ClusterLauncher, Order, Program, Sight, Times
from foedus.launch.held import HeldLauncher, HeldTimes, holding_program
from foedus.launch.held.letters import Letters
from foedus.launch.held.scheduler import HeldScheduler

LIMIT_S = 60.0
ENTRY = "held_entries:run"
ASKING = Times(poll_s=0.05, slow_poll_s=0.05, settle_s=1.0, retries=0)
LOOKING = Times(poll_s=0.05, slow_poll_s=0.05, settle_s=1.0)
TIMES = HeldTimes(poll_s=0.02, idle_poll_s=0.02, task_poll_s=0.02, beat_s=0.2, grace_s=20.0)
BEATING = HeldTimes(beat_s=0.02, silent_s=0.4, grace_s=0.05)


@contextmanager
def holding(
    scheduler: ProcessScheduler, program: Program, folder: Path, held: HeldTimes = TIMES
) -> Iterator[HeldLauncher]:
    """A launcher that holds allocations on this scheduler, and gives them back at the end."""
    with (
        ClusterLauncher(scheduler, holding_program(program), ASKING) as inner,
        HeldLauncher(inner, program, folder, held=held, times=LOOKING) as launcher,
    ):
        yield launcher


@dataclass
class Site:
    """A scheduler, and a launcher on it that can be replaced as if its process had been killed."""

    root: Path
    held: HeldTimes = TIMES
    scheduler: ProcessScheduler = field(default_factory=ProcessScheduler)
    program: Program = field(
        default_factory=lambda: Program(ENTRY, path=(str(Path(__file__).parent),), warning_s=20.0)
    )

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Begin as a new process does."""
        self.inner = ClusterLauncher(self.scheduler, holding_program(self.program), ASKING)
        self.launcher = HeldLauncher(
            self.inner, self.program, self.root / "held", held=self.held, times=LOOKING
        )

    def kill(self) -> None:
        """End as a killed process does: nobody is told."""
        held = self.launcher._scheduler  # what no user could do
        held._closing.set()
        held._thread.join()
        held._ours.close()
        self.launcher._launcher.close()
        self.inner.close()

    def close(self) -> None:
        self.launcher.close()
        self.inner.close()
        self.scheduler.close()

    # --- tasks ---

    def folder(self, name: str, do: str, **values: Json) -> JobFolder:
        folder = JobFolder(self.root / name)
        folder.path.mkdir()
        folder.write_spec({"do": do, **values})
        return folder

    def submit(
        self, folder: JobFolder, client: str = "north", walltime_s: float = 300, **wishes: object
    ) -> NativeId:
        resources = replace(Resources(walltime_s=walltime_s), **wishes)  # type: ignore[arg-type]
        return self.launcher.submit(JobSpec("TEST", str(folder.path), resources, client), folder.path.name)

    def status(self, native_id: NativeId) -> JobStatus:
        return self.launcher.states([native_id])[native_id]

    def when(self, native_id: NativeId, met: Callable[[JobStatus], bool]) -> JobStatus:
        """Wait until the status is such."""
        deadline = time.monotonic() + LIMIT_S
        while not met(status := self.launcher.states([native_id], 0.2)[native_id]):
            assert time.monotonic() < deadline, status
            assert not status.state.is_final, status
        return status

    def final(self, native_id: NativeId) -> JobStatus:
        return self.when(native_id, lambda status: status.state.is_final)

    def running(self, native_id: NativeId) -> JobStatus:
        return self.when(native_id, lambda status: status.state is JobState.RUNNING)

    def done(self, name: str, do: str = "finish", client: str = "north", **values: Json) -> dict[str, Json]:
        """Have a task done, and return its result."""
        folder = self.folder(name, do, **values)
        status = self.final(self.submit(folder, client))
        assert status.state is JobState.COMPLETED, status
        return dict(folder.read_result() or {})

    # --- allocations ---

    @property
    def batch_jobs(self) -> list[str]:
        """The names of all batch jobs that were ever submitted, in order."""
        return self.scheduler.submissions

    def ended(self, name: str) -> bool:
        """Whether the batch job has ended."""
        return self.scheduler.look([name])[name].state.is_final


@dataclass
class Batches:
    """Implements `Launcher`: takes every batch job, unless it is to refuse them, and does nothing."""

    error: FoedusError | None = None
    bug: Exception | None = None  # raised by `states`
    looks: int = 0
    keys: dict[NativeId, str] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        if self.error:
            raise self.error
        native_id = NativeId(str(len(self.keys)))
        self.keys[native_id] = key
        self.folders.append(Path(spec.folder))
        return native_id

    def find(self, key: str) -> NativeId | None:
        return None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        self.looks += 1
        if self.bug:
            raise self.bug
        return {native_id: JobStatus(native_id, JobState.RUNNING) for native_id in ids}

    def cancel(self, native_id: NativeId) -> None:
        self.cancelled.append(self.keys[native_id])

    def logs(self, native_id: NativeId) -> str:
        return ""


@dataclass
class Hall:
    """A scheduler on such batch jobs."""

    folder: Path
    times: HeldTimes = BEATING
    batches: Batches = field(default_factory=Batches)

    def open(self) -> HeldScheduler:
        """Begin as a new process does."""
        self.scheduler = HeldScheduler(self.batches, Program("a:b"), self.folder, times=self.times)
        return self.scheduler

    def kill(self) -> None:
        """End as a killed process does: nobody is told."""
        self.scheduler._closing.set()
        self.scheduler._thread.join()
        self.scheduler._ours.close()

    def order(self, number: int, client: str = "north") -> str:
        """Order a task, and return its name."""
        name = f"foedus-{number}-0"
        self.scheduler.submit(Order(name, (), f"/jobs/{number}", Resources(walltime_s=60), "TEST", client))
        return name

    def answer(self, index: int, *letters: dict[str, Json]) -> None:
        """Answer as the worker of this allocation."""
        for letter in letters:
            Letters(self.batches.folders[index] / "answers").send(letter)

    def ordered(self, index: int) -> list[Json]:
        """The names of the tasks that this allocation was given."""
        letters = Letters(self.batches.folders[index] / "orders").new()
        return [letter["name"] for letter in letters if "name" in letter]

    def seen(self, name: str) -> Sight:
        """What the scheduler says of the task, asked for it and all others."""
        return self.scheduler.look(list(self.scheduler._tasks))[name]

    def turn(self) -> None:
        """Wait until the scheduler's thread has gone through all allocations at least once more."""
        before = self.batches.looks
        until(lambda: self.batches.looks >= before + 2)

    @property
    def kept(self) -> list[Path]:
        return sorted(self.folder.glob("*/*"))


def until(met: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)

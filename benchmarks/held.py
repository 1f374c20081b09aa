"""`held`: what a round takes when each task is a batch job, and when warm workers hold their allocations.

The same tiny federation (`nano`) on batch jobs that are processes of this machine, and on a real Slurm: a
private one of four nodes (`tests/slurm`), for which root and Debian's packages are needed.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.outcomes import OutcomeException
from tests.launch.process_scheduler import ProcessScheduler
from tests.slurm.fixtures import running_cluster

from benchmarks.homes import nano_spec, new_run
from benchmarks.result import Line, Options, at_most, median
from foedus.core.protocols import Launcher
from foedus.core.records import Resources
from foedus.launch.cluster import ClusterLauncher, Program, Scheduler, Times
from foedus.launch.held import HeldLauncher, HeldTimes, holding_program
from foedus.launch.slurm import SlurmScheduler, SlurmSite
from foedus.rounds.backend import ENTRY, SETUP, Backend
from foedus.rounds.home import Home
from foedus.rounds.progress import Progress
from foedus.rounds.runs import drive_run

PER_TASK_ROUNDS, HELD_ROUNDS = 5, 21  # the first is dropped
_LOOK_S = 0.002
_PRELOAD = ("foedus.rounds.tasks",)
_PROGRAM = Program(ENTRY, SETUP)
_RESOURCES = Resources(memory_mb=1000, walltime_s=600.0)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to run tasks on a scheduler. `rounds` is how many to measure."""

    name: str
    rounds: int
    open: Callable[[Scheduler, Path], AbstractContextManager[Launcher]]


def run(options: Options) -> list[Line]:
    """Measure on processes of this machine, then on Slurm."""
    lines = []
    for place, made in (("processes", _processes), ("Slurm", _slurm)):
        try:
            with made(options) as (scheduler, folder):
                lines += _compared(place, scheduler, folder, options)
        except OutcomeException as error:  # Slurm is missing
            lines.append(Line(f"held: {place}", None, "s", note=str(error)))
    return lines


@contextmanager
def _processes(options: Options) -> Iterator[tuple[Scheduler, Path]]:
    scheduler = ProcessScheduler()
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        yield scheduler, Path(folder)
        scheduler.close()


@contextmanager
def _slurm(options: Options) -> Iterator[tuple[Scheduler, Path]]:
    with running_cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        yield SlurmScheduler(SlurmSite()), cluster.folder


@contextmanager
def _per_task(scheduler: Scheduler, folder: Path) -> Iterator[Launcher]:
    with ClusterLauncher(scheduler, _PROGRAM) as launcher:
        yield launcher


@contextmanager
def _held(scheduler: Scheduler, folder: Path) -> Iterator[Launcher]:
    times = HeldTimes(walltime_s=1800.0)
    with (
        ClusterLauncher(scheduler, holding_program(_PROGRAM), Times(retries=0)) as inner,
        HeldLauncher(inner, _PROGRAM, folder, _PRELOAD, times) as launcher,
    ):
        yield launcher


class Watch:
    """Notes when rounds end, and when the first client begins to train in each of them."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs
        self.ends: list[float] = []
        self.steps: dict[int, float] = {}
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        self.thread.join()

    def __call__(self, progress: Progress) -> None:
        """Observe the run."""
        if progress.what == "round-ended":
            self.ends.append(time.monotonic())

    def _look(self) -> None:
        while not self.is_over.wait(_LOOK_S):
            number = len(self.ends) + 1
            files = self.jobs.glob(f"r{number:05d}.*/*.train/events.jsonl")
            if number not in self.steps and any(path.stat().st_size for path in files):
                self.steps[number] = time.monotonic()

    @property
    def seconds(self) -> list[float]:
        """What each round after the first took."""
        return [end - begin for begin, end in pairwise(self.ends)]

    @property
    def latencies(self) -> list[float]:
        """From the end of a round, when the new version is there, to the first training step from it."""
        return [self.steps[n + 1] - end for n, end in enumerate(self.ends, 1) if n + 1 in self.steps]


def _compared(place: str, scheduler: Scheduler, folder: Path, options: Options) -> list[Line]:
    found = {}
    for mode in (Mode("per task", PER_TASK_ROUNDS, _per_task), Mode("held", HELD_ROUNDS, _held)):
        found[mode.name] = _driven(mode, scheduler, folder / mode.name, 2 if options.quick else mode.rounds)
        options.say(f"{place}, {mode.name}: {median(found[mode.name].seconds):.2f} s a round")
    per_task, held = found["per task"], found["held"]
    ratio = median(held.seconds) / median(per_task.seconds)
    share = f"{len(per_task.seconds)} and {len(held.seconds)} rounds, one run after the other"
    step = "from the end of the round before"
    return [
        Line(f"held: {place}, per task: round", median(per_task.seconds), "s"),
        Line(f"held: {place}, held: round", median(held.seconds), "s"),
        Line(f"held: {place}, held ÷ per task", ratio, "×", note=share),
        Line(f"held: {place}, per task: first training step", median(per_task.latencies), "s", note=step),
        Line(f"held: {place}, held: first training step", median(held.latencies), "s", at_most(0.3), step),
    ]


def _driven(mode: Mode, scheduler: Scheduler, folder: Path, rounds: int) -> Watch:
    """Drive a run in this mode."""
    home = Home(folder / "home")
    name = new_run(home, nano_spec(rounds))

    @contextmanager
    def opened(*told: object) -> Iterator[Launcher]:
        with mode.open(scheduler, home.run_folder(name) / "held") as launcher:
            yield launcher

    with Watch(home.run_folder(name) / "jobs") as watch:
        drive_run(home, name, watch, Backend(opened, lambda spec, application: _RESOURCES))
    return watch

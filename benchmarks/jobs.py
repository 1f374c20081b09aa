"""`jobs`: what batch jobs cost beside their own work, on this machine and on a real Slurm.

The Slurm is a private one of four nodes (`tests/slurm`), so this part needs root and Debian's packages.
"""

import os
import resource
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _pytest.outcomes import OutcomeException
from tests.slurm.fixtures import running_cluster

from benchmarks.programs import ROOT
from benchmarks.result import CannotRun, Line, Options, at_most, median
from foedus.core.records import JobSpec, JobState, Resources
from foedus.launch import JobFolder, LocalLauncher
from foedus.launch.cluster import ClusterLauncher, Program, Sight
from foedus.launch.slurm import SlurmScheduler, SlurmSite

JOBS, WARM_JOBS = 100, 200
ENTRY = "benchmarks.jobs:finish"


def finish(folder: JobFolder) -> None:
    """Do what every task does at least: write a result."""
    folder.finish({})


def run(options: Options) -> list[Line]:
    """Measure the local launcher, then Slurm."""
    jobs = 8 if options.quick else JOBS
    local = median(_local(20 if options.quick else WARM_JOBS))
    slurm = _slurm(jobs)
    share = slurm.cpu_s / slurm.seconds
    note = f"{jobs} empty tasks at once, four nodes that are all this machine"
    return [
        Line(
            "jobs: local, warm worker, per task", 1000 * local, "ms", at_most(50), "until its result is known"
        ),
        Line("jobs: Slurm, state questions", slurm.questions / slurm.seconds, "1/s", at_most(0.5), note),
        Line("jobs: Slurm, our share of one core", 100 * share, "%", at_most(5), "with Slurm's commands"),
        Line("jobs: Slurm, submitting, per task", 1000 * slurm.submit_s / jobs, "ms", None, note),
        Line("jobs: Slurm, until all ended", slurm.seconds, "s", None, note),
    ]


def _local(jobs: int) -> list[float]:
    """Return seconds per task, of tasks that follow each other."""
    seconds = []
    with tempfile.TemporaryDirectory() as root, LocalLauncher(ENTRY, workers=1) as launcher:
        for number in range(jobs + 1):
            spec = _spec(Path(root) / str(number))
            began = time.perf_counter()
            native_id = launcher.submit(spec, str(number))
            while not launcher.states([native_id], 10.0)[native_id].state.is_final:
                pass
            seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first one waits for its worker


class CountingScheduler(SlurmScheduler):
    """Counts the questions about states."""

    questions = 0

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Ask, and count it."""
        self.questions += 1
        return super().look(names)


@dataclass(frozen=True, slots=True)
class Counted:
    """What submitting and following batch jobs took. Processor time includes that of Slurm's commands."""

    questions: int
    submit_s: float
    seconds: float
    cpu_s: float


def _slurm(jobs: int) -> Counted:
    scheduler, program = CountingScheduler(SlurmSite()), Program(ENTRY, path=(str(ROOT),))
    with _cluster() as root, ClusterLauncher(scheduler, program) as launcher:
        specs = [_spec(root / str(number)) for number in range(jobs)]
        began, cpu = time.perf_counter(), _cpu_s()
        ids = [launcher.submit(spec, spec.folder) for spec in specs]
        submit_s = time.perf_counter() - began
        while not all(status.state.is_final for status in launcher.states(ids, 5.0).values()):
            pass
        counted = Counted(scheduler.questions, submit_s, time.perf_counter() - began, _cpu_s() - cpu)
        bad = [s for s in launcher.states(ids).values() if s.state is not JobState.COMPLETED]
    if bad:
        raise CannotRun(f"{len(bad)} tasks failed; the first: {bad[0]}")
    return counted


@contextmanager
def _cluster() -> Iterator[Path]:
    before = os.environ.get("SLURM_CONF")
    try:
        with running_cluster() as cluster:
            os.environ["SLURM_CONF"] = str(cluster.conf)
            yield cluster.folder
    except OutcomeException as error:  # Slurm is missing
        raise CannotRun(str(error)) from error
    finally:
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _spec(path: Path) -> JobSpec:
    folder = JobFolder(path)
    path.mkdir()
    folder.write_spec({})
    return JobSpec("TEST", str(path), Resources(walltime_s=300.0, memory_mb=100))


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)

"""How this machine runs the tasks of a run as batch jobs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from foedus.core.protocols import Launcher
from foedus.core.records import Resources
from foedus.launch import LocalLauncher
from foedus.launch.local import usable_cpus
from foedus.rounds.spec import RunSpec

ENTRY = "foedus.apps.entry:run_job"
SETUP = "foedus.learn.process:prepare_worker"


@dataclass(frozen=True, slots=True)
class Backend:
    """A launcher for the tasks of a run, and what each application (`FL_TRAIN` …) asks for.

    `open` is told the run's folder. It is called while the home folder is locked: no other process works on
    the run.
    """

    open: Callable[[RunSpec, Path], AbstractContextManager[Launcher]]
    resources: Callable[[RunSpec, str], Resources]


@contextmanager
def local_launcher(spec: RunSpec, folder: Path) -> Iterator[Launcher]:
    """Start the warm workers of a run: one per client, at most one more than there are processors."""
    cpus = usable_cpus()
    members = spec.jobs.hosts if spec.is_batched else spec.partition.clients
    workers = spec.jobs.workers or min(members, cpus + 1)
    with LocalLauncher(
        ENTRY, workers=workers, threads=spec.jobs.threads, preload=["foedus.rounds.tasks"], setup=SETUP
    ) as launcher:
        yield launcher


def local_resources(spec: RunSpec, application: str) -> Resources:
    """Return what a task may take on this machine: as long as the spec says."""
    return Resources(cpus=spec.jobs.threads, walltime_s=spec.jobs.walltime_s)


LOCAL = Backend(local_launcher, local_resources)

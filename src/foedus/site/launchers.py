"""The launcher that this machine's settings ask for, for the tasks of runs and for single batch jobs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foedus.core.errors import InvalidSpec
from foedus.site.settings import CONFIG_FILE, Settings

if TYPE_CHECKING:
    from foedus.apps.application import Application
    from foedus.core.protocols import Launcher
    from foedus.core.records import Resources
    from foedus.launch.cluster import Program, Scheduler, Times
    from foedus.rounds.backend import Backend
    from foedus.rounds.spec import RunSpec
    from foedus.site.config import Common

TASKS: Final = "foedus.rounds.tasks"
"""What warm workers import before their first task."""


@contextmanager
def open_launcher(settings: Settings, asked: Iterable["Resources"]) -> Iterator["Launcher"]:
    """Open the launcher for single batch jobs, given what each asks for; local ones end with it.

    Programs get as many threads as their batch job asks for processors.
    """
    from foedus.site.by_processors import ByProcessors

    jobs = Counter(resources.cpus for resources in asked)
    with ExitStack() as stack:
        launchers = {
            cpus: stack.enter_context(_launcher_of(settings, cpus, count)) for cpus, count in jobs.items()
        }
        yield ByProcessors(launchers)


def _launcher_of(settings: Settings, cpus: int, jobs: int) -> "AbstractContextManager[Launcher]":
    from foedus.launch import LocalLauncher
    from foedus.launch.local import usable_cpus
    from foedus.rounds.backend import ENTRY

    if outlives_us(settings):
        # PyTorch takes half a gigabyte: only applications that compute with it load it
        return cluster_launcher(settings, cpus, setup="")
    at_once = settings.workers or max(1, usable_cpus() // cpus)
    return LocalLauncher(ENTRY, workers=min(jobs, at_once), threads=cpus)


def outlives_us(settings: Settings) -> bool:
    """Whether batch jobs go on when this process ends, as they do on clusters."""
    return settings.launcher != "local"


def backend_of(settings: Settings) -> "Backend":
    """Return how the tasks of runs are carried out here. Raises `InvalidSpec` for unfit settings."""
    from foedus.apps.builtin import OF_ROUNDS
    from foedus.rounds.backend import LOCAL, Backend

    if not outlives_us(settings):
        return replace(LOCAL, resources=_with_memory_limit(settings))
    from foedus.site.config import changed, said_of_resources

    said = said_of_resources(settings)

    def launcher(spec: "RunSpec", folder: Path) -> "AbstractContextManager[Launcher]":
        if settings.allocation == "held":
            _require_same_paths(settings)
            return held_launcher(settings, spec.jobs.threads, folder / "held")
        return cluster_launcher(settings, spec.jobs.threads)

    def resources(spec: "RunSpec", application: str) -> "Resources":
        asked = changed(OF_ROUNDS, said, application)
        return replace(asked, cpus=max(asked.cpus, spec.jobs.threads))

    return Backend(launcher, resources)


def _require_same_paths(settings: Settings) -> None:
    """Raise `InvalidSpec` where batch jobs see job folders under another path: workers are told ours."""
    if settings.launcher == "kubernetes":
        from foedus.site.config import kubernetes_site

        volume = kubernetes_site(settings)[0].volume
        if volume.mount_path not in ("", volume.root):
            raise InvalidSpec(
                "held allocations need kubernetes.volume.mount_path to be the folder's path here",
                'Leave it out, or set allocation = "per-task".',
            )


def _with_memory_limit(settings: Settings) -> "Callable[[RunSpec, str], Resources]":
    """Return what tasks may take on this machine: time as the spec says, memory if the settings say so."""
    from foedus.rounds.backend import local_resources

    if "resources" not in settings.sections:
        return local_resources
    from foedus.site.config import changed, said_of_resources

    said = said_of_resources(settings)

    def resources(spec: "RunSpec", application: str) -> "Resources":
        usual = local_resources(spec, application)
        return replace(usual, memory_mb=changed(usual, said, application).memory_mb)

    return resources


def resources_of(settings: Settings, application: "Application") -> "Resources":
    """Return what an application's batch jobs ask for: its own wishes, changed by this site's settings."""
    if "resources" not in settings.sections:
        return application.resources
    from foedus.site.config import resources_for

    return resources_for(settings, application.name, application.resources, application.own_resources)


def resource_origins(settings: Settings, application: "Application") -> dict[str, str]:
    """Return who says what an application's batch jobs ask for, for what is no default: file or section."""
    found = dict.fromkeys(application.own_resources, "its file")
    if "resources" not in settings.sections:
        return found
    from foedus.site.config import changes, said_of_resources

    said = said_of_resources(settings)
    for key, name in changes(said, application.name, application.own_resources).items():
        found[key] = f"{CONFIG_FILE} [{'.'.join(filter(None, ('resources', name)))}]"
    return found


@contextmanager
def cluster_launcher(
    settings: Settings, threads: int, entry: str = "", setup: str | None = None
) -> Iterator["Launcher"]:
    """Open the launcher of the site's cluster, for tasks of rounds or for an entry. Batch jobs outlive it.

    `setup` is what programs run first, instead of what prepares them for tasks of rounds.
    """
    from foedus.launch.cluster import ClusterLauncher

    scheduler, program, times = _cluster(settings, threads)
    program = replace(program, entry=entry or program.entry, setup=program.setup if setup is None else setup)
    with ClusterLauncher(scheduler, program, times) as launcher:
        yield launcher


@contextmanager
def held_launcher(settings: Settings, threads: int, folder: Path) -> Iterator["Launcher"]:
    """Open the launcher that holds allocations of the site's cluster; what it notes lies in `folder`."""
    from foedus.launch.cluster import ClusterLauncher
    from foedus.launch.held import HeldLauncher, holding_program
    from foedus.site.config import held_times

    scheduler, program, times = _cluster(settings, threads)
    with (
        # a worker that finds its allocation served before ends at once: submitting that again is in vain
        ClusterLauncher(scheduler, holding_program(program), replace(times, retries=0)) as inner,
        HeldLauncher(inner, program, folder, (TASKS,), held_times(settings)) as launcher,
    ):
        yield launcher


def _cluster(settings: Settings, threads: int) -> tuple["Scheduler", "Program", "Times"]:
    from foedus.launch.cluster import Program, Times
    from foedus.rounds.backend import ENTRY, SETUP

    scheduler, common, warning_s = _scheduler(settings)
    program = Program(
        ENTRY, SETUP, threads, python=common.python, scratch=common.scratch, warning_s=warning_s
    )
    return scheduler, program, Times(poll_s=common.poll_s, retries=common.retries)


def scheduler_of(settings: Settings) -> "Scheduler":
    """Return the scheduler of the site's cluster. Raises `InvalidSpec` for unfit settings."""
    return _scheduler(settings)[0]


def _scheduler(settings: Settings) -> tuple["Scheduler", "Common", float]:
    from foedus.site.config import kubernetes_site, slurm_site

    if settings.launcher == "slurm":
        from foedus.launch.slurm import scheduler_for

        site, common = slurm_site(settings)
        return scheduler_for(site), common, site.warning_s
    from foedus.launch.kubernetes import KubernetesScheduler

    place, common = kubernetes_site(settings)
    return KubernetesScheduler(place), common, place.grace_s

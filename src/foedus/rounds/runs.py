"""Runs of a home folder: create one, drive it to its end, go on with one that was interrupted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foedus import chain  # its names load the EVM on use: by then the workers are importing PyTorch
from foedus.core.errors import FoedusError
from foedus.core.ids import Cid
from foedus.core.protocols import Launcher
from foedus.core.records import Resources
from foedus.launch import LocalLauncher
from foedus.rounds.driver import Driver, World
from foedus.rounds.home import Home, full_disk_told, read_json, write_json
from foedus.rounds.progress import Observer, Progress, ignore
from foedus.rounds.setup import members_of, prepare, publish_project, start_on_chain
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.rounds.view import RunView
from foedus.store import DirectoryStore

if TYPE_CHECKING:
    from foedus.chain import EmbeddedLedger


@dataclass(frozen=True, slots=True)
class Site:
    """An opened home folder: this process alone writes to its chain."""

    home: Home
    store: DirectoryStore
    ledger: "EmbeddedLedger"


@contextmanager
def open_site(home: Home) -> Iterator[Site]:
    """Open chain and store of a home folder. Raises `HomeInUse` when another process has it."""
    with home.locked():
        ledger = chain.EmbeddedLedger(home.chain, chain.KeyRing(home.keys))
        try:
            yield Site(home, DirectoryStore(home.store), ledger)
        finally:
            ledger.close()


def create_run(home: Home, spec: RunSpec) -> str:
    """Write a new run down, to be driven; returns its name. It exists from then on, whatever happens."""
    with home.locked(), full_disk_told(home.root):
        folder = home.new_run_folder(spec.name)
        write_json(folder / "spec.json", spec.model_dump(mode="json"))
        return folder.name


def load_run_spec(home: Home, name: str) -> RunSpec:
    """Return the spec of an existing run. Raises `InvalidSpec` for an unknown run."""
    values = read_json(home.run_folder(name) / "spec.json")
    if not isinstance(values, dict):
        raise FoedusError(f"the spec of run {name} is damaged")
    return parse_spec(dict(values))


def drive_run(home: Home, name: str, observer: Observer = ignore) -> RunView:
    """Drive a run to its end, from wherever it stands. Both `foedus run` and `foedus resume` are this.

    Interrupt it as you like: nothing is lost. Raises `FoedusError` when it cannot go on.
    """
    spec, folder = load_run_spec(home, name), home.run_folder(name)
    # the launcher comes first: workers warm up while the chain opens
    with full_disk_told(home.root), local_launcher(spec) as launcher, open_site(home) as site:
        observer(Progress("setup", values={"run": name, "clients": spec.partition.clients}))
        project, run = started(site, spec, folder, launcher)
        driver = Driver(
            World(site.store, site.home.store, site.ledger, launcher),
            RunView(run, project=project),
            members_of(spec, folder),
            folder,
            Resources(walltime_s=spec.jobs.walltime_s),
            observer,
        )
        return driver.drive()


@contextmanager
def local_launcher(spec: RunSpec) -> Iterator[Launcher]:
    """Start the warm workers of a run: one per client, at most one more than there are processors."""
    cpus = len(os.sched_getaffinity(0))
    workers = spec.jobs.workers or min(spec.partition.clients, cpus + 1)
    with LocalLauncher(
        "foedus.rounds.tasks:run_task",
        workers=workers,
        threads=spec.jobs.threads,
        preload=["foedus.rounds.tasks"],
        setup="foedus.learn.process:prepare_worker",
    ) as launcher:
        yield launcher


def started(site: Site, spec: RunSpec, folder: Path, launcher: Launcher) -> tuple[int, int]:
    """Return (project, run) on the chain, starting the run if that has not happened yet."""
    marker = folder / "run.json"
    if marker.exists():
        numbers = read_json(marker)
        if isinstance(numbers, dict) and isinstance(numbers.get("run"), int):
            return int(str(numbers["project"])), int(str(numbers["run"]))
        raise FoedusError(f"{marker} is damaged", "Delete it: the chain tells which run it was.")
    prepared = prepare(spec, folder, launcher, site.home.data)
    terms, version0 = publish_project(site.store, spec, prepared, folder)
    members = members_of(spec, folder)
    project, run = start_on_chain(site.ledger, folder.name, spec, members, Cid(terms), Cid(version0))
    write_json(marker, {"project": project, "run": run})
    return project, run

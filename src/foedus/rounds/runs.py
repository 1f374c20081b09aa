"""Runs of a home folder: create one, drive it to its end, go on with one that was interrupted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foedus import chain  # its names load the EVM on use: by then the workers are importing PyTorch
from foedus.core.errors import FoedusError, InvalidData
from foedus.core.protocols import Launcher
from foedus.rounds.backend import LOCAL, Backend
from foedus.rounds.driver import Driver, World
from foedus.rounds.home import Home, full_disk_told, read_json, write_json
from foedus.rounds.jobs import ResourcesOf
from foedus.rounds.progress import Observer, Progress, ignore
from foedus.rounds.setup import members_of, prepare, publish_project, start_on_chain
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.rounds.view import RunView, find_run
from foedus.store import DirectoryStore

if TYPE_CHECKING:
    from foedus.chain import EmbeddedLedger


@dataclass(frozen=True, slots=True)
class Site:
    """An opened home folder: this process alone writes to its chain."""

    home: Home
    store: DirectoryStore
    ledger: "EmbeddedLedger"
    clock: "BlockClock"


class BlockClock:
    """Seconds for the chain. They stand still while nobody works on a run.

    Otherwise the deadlines of a run that was interrupted in the evening would have passed in the morning.
    """

    def __init__(self) -> None:
        self._behind_s = 0.0

    def __call__(self) -> float:
        """Return the present block time."""
        return time.time() - self._behind_s

    def go_on_from(self, block_time: int) -> None:
        """Continue from the time of the newest block."""
        self._behind_s = max(0.0, time.time() - block_time)


@contextmanager
def open_site(home: Home) -> Iterator[Site]:
    """Open chain and store of a home folder. Raises `HomeInUse` when another process has it."""
    with home.locked(), _opened(home) as site:
        yield site


@contextmanager
def _opened(home: Home) -> Iterator[Site]:
    clock = BlockClock()
    ledger = chain.EmbeddedLedger(home.chain, chain.KeyRing(home.keys), clock)
    try:
        yield Site(home, DirectoryStore(home.store), ledger, clock)
    finally:
        ledger.close()


def create_run(home: Home, spec: RunSpec) -> str:
    """Write a new run down, to be driven; returns its name. It exists from then on, whatever happens."""
    with home.locked(), full_disk_told(home.root):
        folder = home.new_run_folder(spec.name, _names_on_chain(home))
        write_json(folder / "spec.json", spec.model_dump(mode="json"))
        return folder.name


def _names_on_chain(home: Home) -> list[str]:
    """Names that runs have had, also those whose folder is gone: the chain knows them for ever."""
    if not home.chain.exists():
        return []
    reader = chain.ChainReader.open(home.chain)
    try:
        return [str(event.args["name"]) for event in reader.events() if event.name == "ProjectCreated"]
    finally:
        reader.close()


def load_run_spec(home: Home, name: str) -> RunSpec:
    """Return the spec of an existing run. Raises `InvalidSpec` for an unknown run."""
    values = read_json(home.run_folder(name) / "spec.json")
    if not isinstance(values, dict):
        raise FoedusError(f"the spec of run {name} is damaged")
    return parse_spec(dict(values))


def drive_run(home: Home, name: str, observer: Observer = ignore, backend: Backend = LOCAL) -> RunView:
    """Drive a run to its end, from wherever it stands. Both `foedus run` and `foedus resume` are this.

    `backend` says how its tasks run as batch jobs. Interrupt it as you like: nothing is lost. Raises
    `FoedusError` when it cannot go on.
    """
    spec, folder = load_run_spec(home, name), home.run_folder(name)
    # the launcher comes first: workers warm up while the chain opens
    with (
        full_disk_told(home.root),
        home.locked(),
        backend.open(spec, folder) as launcher,
        _opened(home) as site,
    ):
        observer(Progress("setup", values={"run": name, "clients": spec.partition.clients}))
        resources = partial(backend.resources, spec)
        project, run = started(site, spec, folder, launcher, resources, observer)
        driver = Driver(
            World(site.store, site.home.store, site.ledger, launcher),
            RunView(run, project=project),
            members_of(spec, folder),
            folder,
            resources,
            observer,
            site.clock,
            1.0 if spec.is_batched else spec.policy.fraction,
            spec.jobs.checkpoint_s,
        )
        return driver.drive()


def started(
    site: Site,
    spec: RunSpec,
    folder: Path,
    launcher: Launcher,
    resources: ResourcesOf,
    observer: Observer = ignore,
) -> tuple[int, int]:
    """Return (project, run) on the chain, starting the run if that has not happened yet."""
    found = find_run(site.ledger.events(), folder.name)
    if found is None:
        prepared = prepare(spec, folder, launcher, resources, site.home.data, observer)
        terms, version0 = publish_project(site.store, spec, prepared, folder)
        return start_on_chain(
            site.ledger, folder.name, spec, members_of(spec, folder), terms, version0, prepared.exchanges
        )
    site.clock.go_on_from(site.ledger.head().timestamp)
    for member in members_of(spec, folder):
        if not member.dataset.is_file():
            raise InvalidData(f"the dataset {member.dataset} is gone", "Restore the run's folder.")
    return found

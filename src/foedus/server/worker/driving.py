"""Drives one run from the moment somebody asked for it to its end, from wherever it stands."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from foedus.apps.members import MembersOrder, Source
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec, TaskFailed, UnsupportedModel
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import Launcher
from foedus.core.records import Call, RoundView
from foedus.rounds.documents import PrepareOrder
from foedus.rounds.driver import Driver, World
from foedus.rounds.effects import Member
from foedus.rounds.guide import Guide
from foedus.rounds.home import full_disk_told, write_json
from foedus.rounds.jobs import ResourcesOf
from foedus.rounds.locate import locate_in, note_project
from foedus.rounds.machine import Vote
from foedus.rounds.runs import Site
from foedus.rounds.setup import carry_out, publish_project, start_run
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.rounds.view import RunView
from foedus.server.db import Dataset, Run, RunClient, SharedDataset
from foedus.server.index import follow
from foedus.server.platform import Platform
from foedus.server.worker.ballots import Ballots
from foedus.server.worker.leases import Lease, LeaseLost, give_back
from foedus.server.worker.people import enrol_clients
from foedus.server.worker.telling import Teller
from foedus.site.launchers import backend_of

_log = logging.getLogger(__name__)

_TRIES: Final = 5  # so often in a row a run is driven on after a failure that may pass
_INPUT_ERRORS: Final = (InvalidSpec, InvalidData, UnsupportedModel)  # trying again gives the same


class Stopped(Exception):
    """The worker is to end; the run goes on with another one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of, read once: rows of the database as plain values."""

    run: int
    name: str
    spec: RunSpec
    project: int
    chain_project: int
    account: str  # that leads the project
    asks_votes: bool
    clients: Mapping[ClientId, int]  # whose they are
    members: tuple[Member, ...]
    order: MembersOrder


def drive(platform: Platform, site: Site, lease: Lease, stop: threading.Event) -> None:
    """Drive the run of a lease until it ends, the worker is to stop, or another worker has it."""
    teller = Teller(platform, lease, partial(follow, platform, site.ledger))
    try:
        with full_disk_told(platform.home.root):
            _drive(platform, site, lease, stop, teller)
    except (Stopped, LeaseLost):
        give_back(platform, lease)
    except Exception as error:
        if not isinstance(error, FoedusError):
            _log.exception("run %d: a defect", lease.id)
        _fail(platform, lease, teller, error)


def _drive(platform: Platform, site: Site, lease: Lease, stop: threading.Event, teller: Teller) -> None:
    with platform.reading() as db:
        row = db.get_one(Run, lease.id)
        name, reason = row.name, row.cancel_reason
    found = locate_in(platform.home.runs / name, site.ledger.events())
    if reason and found is None:
        teller.change("cancelled", reason)
        return
    plan = _read(platform, site, lease.id)
    folder = platform.home.runs / plan.name
    if not (folder / "spec.json").is_file():
        write_json(folder / "spec.json", plan.spec.model_dump(mode="json"))
    backend = backend_of(platform.site)
    resources = partial(backend.resources, plan.spec)
    with backend.open(plan.spec, folder) as launcher:
        if found is None:
            teller.change("preparing")
            run = _start(platform, site, plan, folder, launcher, resources, teller)
        else:
            run = found[1]
            teller.recall(folder / "jobs")
        teller.change("running", chain_run=run, failures=0)
        guide = _Guide(platform, site, plan, lease, stop, teller)
        driver = Driver(
            World(site.store, platform.home.store, site.ledger, launcher),
            RunView(run, project=plan.chain_project),
            plan.members,
            folder,
            resources,
            teller.hear,
            site.clock,
            plan.spec.policy.fraction,
            plan.spec.jobs.checkpoint_s,
            guide,
        )
        view = driver.drive()
    teller.write(view)
    teller.change(str(view.ended), view.reason)
    give_back(platform, lease)


def _start(
    platform: Platform,
    site: Site,
    plan: Plan,
    folder: Path,
    launcher: Launcher,
    resources: ResourcesOf,
    teller: Teller,
) -> int:
    """Prepare the data, publish what the members agree on, and start the run on the chain."""

    def hear(progress: Any) -> None:  # noqa: ANN401 - as an observer
        teller.hear(progress)
        teller.write()

    prepared = carry_out(plan.order, folder, launcher, resources, hear)
    terms, version0 = publish_project(site.store, plan.spec, prepared, folder)
    note_project(folder, plan.chain_project, Cid(terms))
    enrol_clients(platform, site.ledger, plan.project, plan.clients.values())
    return start_run(
        site.ledger, plan.account, plan.chain_project, plan.spec, terms, version0, prepared.exchanges
    )


def _read(platform: Platform, site: Site, run_id: int) -> Plan:
    with platform.reading() as db:
        run = db.get_one(Run, run_id, options=[selectinload(Run.clients), selectinload(Run.project)])
        project = run.project
        if project.chain_project is None:
            raise FoedusError("the project is not on the chain yet", "It is tried again.")
        evaluation = db.get(Dataset, project.evaluation_id or 0)
        if evaluation is None or evaluation.state != "ready":
            raise InvalidSpec(
                "the project has no evaluation dataset", "A lead chooses one in the project's data."
            )
        spec = parse_spec({**run.spec, "name": run.name[:32]})
        folder = platform.home.runs / run.name
        members = tuple(
            Member(
                ClientId(one.client),
                one.account,
                folder / "data" / f"{one.client}.safetensors",
                one.mixes_shared,
            )
            for one in sorted(run.clients, key=lambda one: one.client)
        )
        shared = db.scalars(
            select(SharedDataset.cid)
            .where(SharedDataset.project_id == project.id, SharedDataset.state == "ready")
            .order_by(SharedDataset.id)
        )
        return Plan(
            run.id,
            run.name,
            spec,
            project.id,
            project.chain_project,
            project.account,
            project.asks_votes,
            {ClientId(one.client): one.user_id for one in run.clients},
            members,
            _order(platform, spec, [str(cid) for cid in shared], run.clients, evaluation, folder),
        )


def _order(
    platform: Platform,
    spec: RunSpec,
    shared: list[str],
    clients: list[RunClient],
    evaluation: Dataset,
    folder: Path,
) -> MembersOrder:
    def source(dataset: Dataset) -> Source:
        return Source(home=str(platform.user_home(dataset.owner.name).root), dataset=dataset.name)

    return MembersOrder(
        prepare=PrepareOrder(
            spec=spec.model_dump(mode="json"),
            members={one.client: [one.client] for one in clients},
            data_cache=str(platform.home.data),
            data_folder=str(folder / "data"),
        ),
        sources={one.client: source(one.dataset) for one in clients},
        evaluation=source(evaluation),
        store=str(platform.home.store),
        shared=shared,
    )


class _Guide(Guide):
    """Holds the lease, hears of cancellation, and asks people for their votes."""

    def __init__(
        self,
        platform: Platform,
        site: Site,
        plan: Plan,
        lease: Lease,
        stop: threading.Event,
        teller: Teller,
    ) -> None:
        self._platform, self._site, self._plan = platform, site, plan
        self._lease, self._stop, self._teller = lease, stop, teller
        self._ballots = Ballots(platform, lease, plan.clients, site.clock)
        self._run: RunView | None = None

    def before_sweep(self, run: RunView) -> None:
        """Write what happened. Raises `Stopped` or `LeaseLost`."""
        self._run = run
        self._teller.write(run)
        if self._stop.is_set():
            raise Stopped
        with self._platform.reading() as db:
            reason = db.get_one(Run, self._lease.id).cancel_reason
        if reason and run.ended is None:
            self._site.ledger.send([Call(self._plan.account, "cancel_run", (run.run, reason[:64]))])

    def vote(self, client: ClientId, view: RoundView, advice: Vote) -> Vote | None:
        """Return a client's vote, or None while a person thinks about it."""
        if not self._plan.asks_votes or self._run is None or self._run.rules is None:
            return advice
        return self._ballots.vote(client, view, advice, self._run.rules)


def _fail(platform: Platform, lease: Lease, teller: Teller, error: Exception) -> None:
    """Note why driving failed. What may pass is tried again, later each time; the rest ends the run."""
    message = error.message if isinstance(error, FoedusError) else "something went wrong on our side"
    hint = error.hint if isinstance(error, FoedusError) else "It is in the log of the worker."
    try:
        with platform.reading() as db:
            run = db.get_one(Run, lease.id)
            failures, is_started = run.failures + 1, run.chain_run is not None
        is_final = failures >= _TRIES or isinstance(error, _INPUT_ERRORS)
        is_final = is_final or (isinstance(error, TaskFailed) and not is_started)
        state = "failed" if is_final else "running" if is_started else "waiting"
        teller.change(state, message, hint, failures=failures)
        _log.warning("run %d: %s", lease.id, message)
        if is_final:
            give_back(platform, lease)  # else the lease runs out, which is the pause before the next try
    except LeaseLost:
        return

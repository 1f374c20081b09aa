"""Runs by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.downloads import sent
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import curves, new_run, projects, rounds, runs
from foedus.server.services.explorer_lists import transaction_listing
from foedus.server.services.failures import failure_of
from foedus.server.services.pace import pace_of
from foedus.server.services.run_export import run_export, spec_toml

router = APIRouter(tags=["runs"])


class WantedRun(BaseModel):
    """A spec with the sections and keys of the TOML file, and the clients; all with data when not given."""

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any] = {}
    clients: Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=1024)] | None = None


class NewRun(WantedRun):
    """What a run needs."""

    title: Annotated[str, Field(max_length=400)] = ""


class Cancel(BaseModel):
    """Why a run is to end."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=400)]


@router.get("/runs")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the runs that you may see."""
    return list_json(request, db, runs.run_listing(actor))


@router.get("/projects/{slug}/runs", operation_id="projects.runs")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """List the runs of a project."""
    return list_json(request, db, runs.run_listing(actor, projects.find_project(db, actor, slug)))


@router.post("/projects/{slug}/runs", status_code=201)
def create(db: Db, actor: ActorDep, platform: PlatformDep, slug: str, new: NewRun) -> dict[str, Any]:
    """Start a run with members who contribute ready data."""
    new_run.count_start(platform, actor)
    return runs.as_json(new_run.create_run(db, platform, actor, slug, new.spec, new.title, new.clients))


@router.post("/projects/{slug}/runs/check")
def check(db: Db, actor: ActorDep, platform: PlatformDep, slug: str, wanted: WantedRun) -> dict[str, Any]:
    """Return the checked spec as JSON and TOML, who would train and what it costs; makes nothing."""
    checked = new_run.check_run(db, platform, actor, slug, wanted.spec, wanted.clients)
    spec = checked.spec.model_dump(mode="json")
    return {
        "spec": spec,
        "toml": spec_toml(spec),
        "clients": [one.client for one in checked.clients],
        "estimate": checked.estimate(),
    }


@router.get("/runs/{name}")
def show(db: Db, actor: ActorDep, platform: PlatformDep, name: str) -> dict[str, Any]:
    """Return a run: where it stands, how long it may still take, and why it failed if it did."""
    run = runs.find_run(db, actor, name)
    pace, failure = pace_of(db, run, platform.now()), failure_of(db, actor, platform, run)
    return {
        **runs.as_json(run),
        "pace": pace.to_json() if pace else None,
        "failure": failure.to_json() if failure else None,
    }


@router.get("/runs/{name}/rounds", operation_id="runs.rounds")
def index_of_rounds(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List the rounds of a run."""
    return list_json(request, db, rounds.round_listing(runs.find_run(db, actor, name)))


@router.get("/runs/{name}/rounds/{number}", operation_id="runs.round")
def show_round(
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    number: Annotated[int, Path(ge=0, le=1_000_000)],
) -> dict[str, Any]:
    """Return a round: where it stands, what each client answered and voted, whose update was refused."""
    found = rounds.find_round(db, runs.find_run(db, actor, name), number)
    refused = rounds.refused_in(platform.store, found.candidate) if found.candidate else {}
    return {**found.to_json(), "refused": refused}


@router.get("/runs/{name}/transactions")
def transactions(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List the transactions of a run."""
    run = runs.find_run(db, actor, name)
    return list_json(request, db, transaction_listing(actor, run=run.chain_run or 0))


@router.get("/runs/{name}/export", response_class=Response)
def export(db: Db, actor: ActorDep, name: str) -> Response:
    """Send a run as a ZIP: its spec, and all its numbers as CSV."""
    return sent(run_export(db, actor, runs.find_run(db, actor, name)), f"{name}.zip")


@router.post("/runs/{name}/cancel")
def cancel(db: Db, actor: ActorDep, name: str, why: Cancel) -> dict[str, Any]:
    """Ask for a run's end."""
    return runs.as_json(runs.cancel_run(db, actor, name, why.reason))


@router.get("/runs/{name}/metrics")
def metrics(
    db: Db,
    actor: ActorDep,
    name: str,
    first: Annotated[int, Query(ge=0, le=100_000)] = 0,
    rounds: Annotated[int, Query(ge=1, le=100)] = 100,
) -> dict[str, Any]:
    """Return the numbers of up to 100 rounds of a run, from round `first` on."""
    run = runs.find_run(db, actor, name)
    return {"items": curves.metric_rows(db, run, first, first + rounds - 1)}


@router.get("/runs/{name}/events")
def events(
    db: Db, actor: ActorDep, name: str, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> dict[str, Any]:
    """Return up to 1,000 events of a run, those after the event with this id."""
    return {"items": curves.event_rows(db, runs.find_run(db, actor, name), after)}

"""Runs by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db
from foedus.server.services import curves, new_run, projects, rounds, runs

router = APIRouter(tags=["runs"])


class NewRun(BaseModel):
    """What a run needs: a spec with the sections and keys of the TOML file."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=400)] = ""
    spec: dict[str, Any] = {}


class Cancel(BaseModel):
    """Why a run is to end."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=400)]


@router.get("/runs")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the runs that you may see."""
    return list_json(request, db, runs.run_listing(actor))


@router.get("/projects/{slug}/runs")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """List the runs of a project."""
    return list_json(request, db, runs.run_listing(actor, projects.find_project(db, actor, slug)))


@router.post("/projects/{slug}/runs", status_code=201)
def create(db: Db, actor: ActorDep, slug: str, new: NewRun) -> dict[str, Any]:
    """Start a run with all members who contribute ready data."""
    return runs.as_json(new_run.create_run(db, actor, slug, new.spec, new.title))


@router.get("/runs/{name}")
def show(db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """Return a run."""
    return runs.as_json(runs.find_run(db, actor, name))


@router.get("/runs/{name}/rounds")
def index_of_rounds(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List the rounds of a run."""
    return list_json(request, db, rounds.round_listing(runs.find_run(db, actor, name)))


@router.get("/runs/{name}/rounds/{number}")
def show_round(
    db: Db, actor: ActorDep, name: str, number: Annotated[int, Path(ge=0, le=1_000_000)]
) -> dict[str, Any]:
    """Return a round: where it stands, and what each client answered and voted."""
    return rounds.find_round(db, runs.find_run(db, actor, name), number).to_json()


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

"""Pages of runs."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.permissions import Action, can
from foedus.server.db import Run
from foedus.server.errors import Conflict, Invalid
from foedus.server.http import ActorDep, Db
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import curves, new_run, projects, rounds, runs

router = APIRouter()

Text = Annotated[str, Form(max_length=1000)]
RoundNumber = Annotated[int, Path(ge=0, le=1_000_000)]


@router.get("/runs")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List the runs that I may see."""
    return list_page(request, db, runs.run_listing(actor), "runs/index.html")


@router.get("/projects/{slug}/runs")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """List the runs of a project."""
    project = projects.find_project(db, actor, slug)
    return list_page(request, db, runs.run_listing(actor, project), "runs/index.html")


@router.get("/projects/{slug}/runs/new")
def new(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """Show the form for a new run."""
    project = projects.find_project(db, actor, slug, Action.START_RUN)
    return page(request, "runs/new.html", project=project, form={}, faults={})


@router.post("/projects/{slug}/runs/new")
def create(
    request: Request,
    db: Db,
    actor: ActorDep,
    slug: str,
    title: Text = "",
    model: Text = "",
    algorithm: Text = "",
    rounds: Text = "",
    epochs: Text = "",
    batch_size: Text = "",
    learning_rate: Text = "",
) -> Response:
    """Start a run, or show the form again with what is wrong."""
    form = {
        "model.name": model,
        "algorithm.name": algorithm,
        "rounds": rounds,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.learning_rate": learning_rate,
    }
    try:
        run = new_run.create_run(db, actor, slug, _nested(form), title)
    except (Invalid, Conflict) as error:
        faults = error.fields if isinstance(error, Invalid) else {"project": f"{error.message}. {error.hint}"}
        shown = {key.rpartition(".")[2] if "name" not in key else key[:-5]: v for key, v in form.items()}
        named = {key.removesuffix(".name").removeprefix("training."): what for key, what in faults.items()}
        project = projects.find_project(db, actor, slug)
        form = {**shown, "title": title}
        return page(request, "runs/new.html", 422, project=project, form=form, faults=named)
    return see(f"/runs/{run.name}")


@router.get("/runs/{name}")
def show(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """Show a run."""
    run = runs.find_run(db, actor, name)
    may_cancel = not run.is_over and can(db, actor, Action.CANCEL_RUN, run).allowed
    return page(request, "runs/show.html", **_shown(db, run), may_cancel=may_cancel, form={}, faults={})


@router.get("/runs/{name}/curves")
def curves_of(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """Show the numbers of a run over its rounds."""
    run = runs.find_run(db, actor, name)
    return page(request, "runs/curves.html", run=run, charts=curves.curve_charts(db, run))


@router.get("/runs/{name}/rounds")
def rounds_of(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """List the rounds of a run."""
    run = runs.find_run(db, actor, name)
    return list_page(request, db, rounds.round_listing(run), "runs/rounds.html", run=run)


@router.get("/runs/{name}/rounds/{number}")
def round_of(request: Request, db: Db, actor: ActorDep, name: str, number: RoundNumber) -> Response:
    """Show a round."""
    run = runs.find_run(db, actor, name)
    return page(request, "runs/round.html", run=run, round=rounds.find_round(db, run, number))


@router.post("/runs/{name}/cancel")
def cancel(request: Request, db: Db, actor: ActorDep, name: str, reason: Text = "") -> Response:
    """Ask for a run's end, or say what is wrong."""
    try:
        runs.cancel_run(db, actor, name, reason)
    except Invalid as error:
        run = runs.find_run(db, actor, name)
        form, faults = {"reason": reason}, error.fields
        shown = _shown(db, run)
        return page(request, "runs/show.html", 422, **shown, may_cancel=True, form=form, faults=faults)
    return see(f"/runs/{name}")


def _shown(db: Session, run: Run) -> dict[str, Any]:
    terms = json.dumps(run.spec, indent=2, ensure_ascii=False)
    return {"run": run, "round": rounds.present_round(db, run), "terms": terms}


def _nested(form: dict[str, str]) -> dict[str, Any]:
    """Return the sections of a spec; what was left empty keeps its default."""
    values: dict[str, Any] = {}
    for key, text in form.items():
        section, _, name = key.rpartition(".")
        if text.strip():
            (values.setdefault(section, {}) if section else values)[name] = text.strip()
    return values

"""Pages of runs."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, can
from foedus.server.db import Run
from foedus.server.downloads import sent
from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.live import now_of
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.platform import Platform
from foedus.server.services import curves, failures, projects, rounds, runs
from foedus.server.services.explorer_lists import transaction_listing
from foedus.server.services.run_export import run_export

router = APIRouter()

Text = Annotated[str, Form(max_length=1000)]


@router.get("/runs")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List the runs that I may see."""
    return list_page(request, db, runs.run_listing(actor), "runs/index.html", project=None)


@router.get("/projects/{slug}/runs")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """List the runs of a project."""
    project = projects.find_project(db, actor, slug)
    may_start = can(db, actor, Action.START_RUN, project).allowed
    listing = runs.run_listing(actor, project)
    return list_page(request, db, listing, "runs/index.html", project=project, may_start=may_start)


@router.get("/runs/{name}")
def show(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str) -> Response:
    """Show a run."""
    run = runs.find_run(db, actor, name)
    may_cancel = not run.is_over and can(db, actor, Action.CANCEL_RUN, run).allowed
    shown = _shown(db, actor, platform, run)
    return page(request, "runs/show.html", **shown, may_cancel=may_cancel, form={}, faults={})


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


@router.get("/runs/{name}/chain")
def chain_of(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """List the transactions of a run."""
    run = runs.find_run(db, actor, name)
    return list_page(
        request, db, transaction_listing(actor, run=run.chain_run or 0), "runs/chain.html", run=run
    )


@router.get("/runs/{name}/export")
def export(db: Db, actor: ActorDep, name: str) -> Response:
    """Send a run as a ZIP: its spec, and all its numbers as CSV."""
    return sent(run_export(db, actor, runs.find_run(db, actor, name)), f"{name}.zip")


@router.post("/runs/{name}/cancel")
def cancel(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str, reason: Text = ""
) -> Response:
    """Ask for a run's end, or say what is wrong."""
    try:
        runs.cancel_run(db, actor, name, reason)
    except Invalid as error:
        run = runs.find_run(db, actor, name)
        form, faults = {"reason": reason}, error.fields
        shown = _shown(db, actor, platform, run)
        return page(request, "runs/show.html", 422, **shown, may_cancel=True, form=form, faults=faults)
    return see(f"/runs/{name}", Notice.RUN_CANCELLED)


def _shown(db: Session, actor: Actor, platform: Platform, run: Run) -> dict[str, Any]:
    terms = json.dumps(run.spec, indent=2, ensure_ascii=False)
    failure = failures.failure_of(db, actor, platform, run)
    return {
        **now_of(db, run, platform.now()),
        "terms": terms,
        "may_clone": can(db, actor, Action.START_RUN, run.project).allowed,
        "failure": failure,
    }

"""Pages of rewards."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from foedus.server.http import ActorDep, Db
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import rewards

router = APIRouter()

Chosen = Annotated[str, Query(max_length=200)]


@router.get("/rewards")
def index(request: Request, db: Db, actor: ActorDep, project: Chosen = "", run: Chosen = "") -> Response:
    """Show who earned how much in all projects; lead on to the page of one of them or of a run."""
    found = rewards.leaderboard(db, actor, project, run)
    if found.project is not None:
        chosen = f"?{urlencode({'run': run})}" if run else ""
        return see(f"/projects/{quote(found.project.slug)}/rewards{chosen}")
    return _board(request, db, found)


@router.get("/rewards/paid")
def paid(request: Request, db: Db, actor: ActorDep) -> Response:
    """List single rewards, each with its transaction."""
    return list_page(request, db, rewards.reward_listing(actor), "rewards/paid.html")


@router.get("/projects/{slug}/rewards")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str, run: Chosen = "") -> Response:
    """Show who earned how much in a project or one of its runs."""
    return _board(request, db, rewards.leaderboard(db, actor, slug, run))


def _board(request: Request, db: Db, found: rewards.Leaderboard) -> Response:
    if not found.ended_rounds and "format" not in request.query_params:
        return page(request, "rewards/index.html", board=found, rule=rewards.RULE)
    return list_page(request, db, found.listing, "rewards/index.html", board=found, rule=rewards.RULE)

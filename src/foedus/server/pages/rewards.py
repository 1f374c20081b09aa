"""Pages of rewards."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from foedus.server.http import ActorDep, Db
from foedus.server.pages.render import list_page, page
from foedus.server.services import rewards

router = APIRouter()

Chosen = Annotated[str, Query(max_length=200)]


@router.get("/rewards")
def index(request: Request, db: Db, actor: ActorDep, project: Chosen = "", run: Chosen = "") -> Response:
    """Show who earned how much, in all projects, one of them or one run."""
    found = rewards.leaderboard(db, actor, project, run)
    return page(request, "rewards/index.html", board=found, rule=rewards.RULE)


@router.get("/rewards/paid")
def paid(request: Request, db: Db, actor: ActorDep) -> Response:
    """List single rewards, each with its transaction."""
    return list_page(request, db, rewards.reward_listing(actor), "rewards/paid.html")


@router.get("/projects/{slug}/rewards")
def of_project(request: Request, db: Db, actor: ActorDep, slug: str, run: Chosen = "") -> Response:
    """Show who earned how much in a project or one of its runs."""
    found = rewards.leaderboard(db, actor, slug, run)
    return page(request, "rewards/index.html", board=found, rule=rewards.RULE)

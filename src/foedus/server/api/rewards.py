"""Rewards by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db
from foedus.server.services import rewards

router = APIRouter(prefix="/rewards", tags=["rewards"])

Chosen = Annotated[str, Query(max_length=200)]


@router.get("")
def index(db: Db, actor: ActorDep, project: Chosen = "", run: Chosen = "") -> dict[str, Any]:
    """Return who earned how much: in all your projects, one of them, or one run."""
    return rewards.as_json(rewards.leaderboard(db, actor, project, run))


@router.get("/paid")
def paid(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List single rewards, each with the transaction that paid it."""
    return list_json(request, db, rewards.reward_listing(actor))

"""Rewards by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db
from foedus.server.services import rewards

router = APIRouter(prefix="/rewards", tags=["rewards"])

Chosen = Annotated[str, Query(max_length=200)]


@router.get("")
def index(
    request: Request, db: Db, actor: ActorDep, project: Chosen = "", run: Chosen = ""
) -> dict[str, Any]:
    """List who earned how much: in all your projects, one of them, or one run.

    Points are texts: they are larger than most integers. `recent` has those of the last updates.
    `availability` is the share answered of the ended rounds of the runs that the client takes part in.
    """
    found = rewards.leaderboard(db, actor, project, run)
    listed = list_json(request, db, found.listing)
    return {**listed, "run": run or None, "rounds": found.ended_rounds, "rule": rewards.RULE}


@router.get("/paid")
def paid(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List single rewards, each with the transaction that paid it."""
    return list_json(request, db, rewards.reward_listing(actor))

"""Votes by the API."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import votes

router = APIRouter(prefix="/votes", tags=["votes"])


class NewVote(BaseModel):
    """The answer to a ballot."""

    model_config = ConfigDict(extra="forbid")

    run: Annotated[str, Field(max_length=64)]
    round: Annotated[int, Field(ge=1, le=100_000)]
    choice: Annotated[str, Field(max_length=16, examples=["yes"])]
    comment: Annotated[str, Field(max_length=2000)] = ""


@router.get("")
def index(db: Db, actor: ActorDep, platform: PlatformDep) -> dict[str, Any]:
    """List the ballots that wait for your vote."""
    return {"items": [votes.as_json(one) for one in votes.waiting_for(db, actor, platform.now())]}


@router.post("")
def create(db: Db, actor: ActorDep, platform: PlatformDep, new: NewVote) -> dict[str, Any]:
    """Answer a ballot."""
    made = votes.vote(db, actor, platform.now(), new.run, new.round, new.choice, new.comment)
    return votes.as_json(made)

"""Pages of votes."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.render import page, see
from foedus.server.services import votes

router = APIRouter()

Text = Annotated[str, Form(max_length=2000)]


@router.get("/votes")
def index(request: Request, db: Db, actor: ActorDep, platform: PlatformDep) -> Response:
    """List the ballots that wait for me."""
    ballots = votes.waiting_for(db, actor, platform.now())
    return page(request, "votes/index.html", ballots=ballots, faults={})


@router.post("/votes")
def create(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    run: Text,
    number: Annotated[int, Form(ge=1, le=100_000)],
    choice: Text = "",
    comment: Text = "",
) -> Response:
    """Answer a ballot, or say why not."""
    try:
        votes.vote(db, actor, platform.now(), run, number, choice, comment)
    except Invalid as error:
        ballots = votes.waiting_for(db, actor, platform.now())
        return page(request, "votes/index.html", 422, ballots=ballots, faults=error.fields)
    return see("/votes")

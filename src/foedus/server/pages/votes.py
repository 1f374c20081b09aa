"""Pages of votes, and of the rounds that they are about."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.db import Decision
from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.platform import Platform
from foedus.server.services import rounds, runs, votes

router = APIRouter()

Text = Annotated[str, Form(max_length=2000)]
RoundNumber = Annotated[int, Path(ge=0, le=1_000_000)]


@router.get("/votes")
def index(request: Request, db: Db, actor: ActorDep, platform: PlatformDep) -> Response:
    """List the ballots that wait for me."""
    return _page(request, votes.waiting_for(db, actor, platform.now()), {})


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
        return _page(request, votes.waiting_for(db, actor, platform.now()), error.fields)
    return see("/votes", Notice.VOTED)


@router.get("/runs/{name}/rounds/{number}")
def round_of(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str, number: RoundNumber
) -> Response:
    """Show a round: where it stands, who answered what, its ballot."""
    return _round(request, db, actor, platform, (name, number), {})


@router.post("/runs/{name}/rounds/{number}/vote")
def vote(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    number: RoundNumber,
    choice: Text = "",
    comment: Text = "",
) -> Response:
    """Answer the ballot of a round on its page, or say why not."""
    try:
        votes.vote(db, actor, platform.now(), name, number, choice, comment)
    except Invalid as error:
        return _round(request, db, actor, platform, (name, number), error.fields)
    return see(f"/runs/{name}/rounds/{number}", Notice.VOTED)


def _page(request: Request, ballots: list[Decision], faults: Mapping[str, str]) -> Response:
    said = {"verdict": votes.verdict, "why_no_yes": votes.why_no_yes}
    return page(request, "votes/index.html", 422 if faults else 200, ballots=ballots, faults=faults, **said)


def _round(
    request: Request,
    db: Session,
    actor: Actor,
    platform: Platform,
    place: tuple[str, int],
    faults: Mapping[str, str],
) -> Response:
    name, number = place
    run = runs.find_run(db, actor, name)
    found, ballot = rounds.find_round(db, run, number), votes.ballot_of(db, actor, run, number)
    return page(
        request,
        "runs/round.html",
        422 if faults else 200,
        run=run,
        round=found,
        refused=rounds.refused_in(platform.store, found.candidate) if found.candidate else {},
        ballot=ballot,
        verdict=votes.verdict(ballot) if ballot else "",
        fault=votes.why_no_yes(ballot) if ballot else "",
        may_vote=ballot is not None and votes.may_answer(ballot, platform.now()),
        comments=votes.comments_on(db, run, number),
        faults=faults,
    )

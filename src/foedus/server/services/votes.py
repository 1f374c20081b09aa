"""Ballots that wait for a member's own vote, where the project asks its members."""

import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import Choice
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import Decision, Run, RunClient
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.services.audit import record

CHOICES: Final = {"yes": Choice.YES, "no": Choice.NO, "abstain": Choice.ABSTAIN}


def waiting_for(db: Session, actor: Actor, now: datetime.datetime) -> list[Decision]:
    """Return the actor's ballots without an answer whose time is not over, the most urgent first."""
    chosen = (
        select(Decision)
        .join(Run, Run.id == Decision.run_id)
        .where(
            Decision.user_id == actor.user_id,
            Decision.choice.is_(None),
            Decision.deadline > int(now.timestamp()),
            Run.project_id.in_(visible_projects(actor)),
        )
        .order_by(Decision.deadline, Decision.id)
        .limit(100)
    )
    return list(db.scalars(chosen))


def vote(
    db: Session, actor: Actor, now: datetime.datetime, run: str, number: int, choice: str, comment: str = ""
) -> Decision:
    """Answer the actor's ballot of a round. The contract refuses a yes to a candidate that scores too low.

    Raises `NotFound` without such a ballot, `Conflict` when it is over, `Invalid` naming fields.
    """
    wanted = Decision.user_id == actor.user_id, Decision.round == number
    found = db.scalar(select(Decision).join(Run, Run.id == Decision.run_id).where(Run.name == run, *wanted))
    if found is None:
        raise NotFound("such ballot")
    require(db, actor, Action.VOTE, found.run, "such ballot")
    if found.deadline <= int(now.timestamp()) or found.run.is_over:
        raise Conflict("this ballot is over")
    if found.choice is not None:
        raise Conflict("you have voted already", "A vote stands on the chain and cannot be changed.")
    if choice not in CHOICES:
        raise Invalid({"choice": f"must be one of {', '.join(CHOICES)}"})
    if len(comment) > 1000:
        raise Invalid({"comment": "at most 1,000 characters"})
    if choice == "yes" and (fault := why_no_yes(found)):
        raise Invalid({"choice": fault})
    found.choice, found.comment = int(CHOICES[choice]), comment.strip()
    record(db, actor, "vote", f"{run} round {number}", found.run.project_id, choice)
    return found


def ballot_of(db: Session, actor: Actor, run: Run, number: int) -> Decision | None:
    """Return the actor's own ballot of a round, if the project asks it for one."""
    mine = (Decision.run_id == run.id, Decision.round == number, Decision.user_id == actor.user_id)
    return db.scalar(select(Decision).where(*mine))


def comments_on(db: Session, run: Run, number: int) -> dict[str, str]:
    """Return what members said about a round's candidate, by client."""
    said = (
        select(RunClient.client, Decision.comment)
        .join(RunClient, (RunClient.run_id == Decision.run_id) & (RunClient.user_id == Decision.user_id))
        .where(Decision.run_id == run.id, Decision.round == number, Decision.choice.is_not(None))
    )
    return {client: comment for client, comment in db.execute(said) if comment}


def may_answer(ballot: Decision, now: datetime.datetime) -> bool:
    """Return whether a ballot waits for an answer."""
    is_late = ballot.deadline <= int(now.timestamp())
    return ballot.choice is None and not is_late and not ballot.run.is_over


def verdict(ballot: Decision) -> str:
    """Say how the candidate did on the member's own data, and what recomputing and scoring it advise."""
    if ballot.score is None or ballot.base_score is None:
        said = "it could not be scored on your data"
    else:
        said = f"on your data the candidate does {_compared(ballot, ballot.score - ballot.base_score)}"
        if ballot.advice == Choice.NO and not why_no_yes(ballot):
            said += ", but recomputing it gave something else"
    advice = f"The advice is {Choice(ballot.advice).name.lower()}" if ballot.advice else "There is no advice"
    return f"{advice}: {said}."


def _compared(ballot: Decision, difference: float) -> str:
    if not difference:
        return "exactly as well as its base"
    if difference > 0:
        return f"{difference:.4f} better than its base"
    how = "more than" if why_no_yes(ballot) else "within"
    return f"{-difference:.4f} worse than its base, {how} the {_epsilon(ballot):g} that the policy allows"


def why_no_yes(ballot: Decision) -> str:
    """Return why the contract would refuse a yes; empty when it would not."""
    epsilon = _epsilon(ballot)
    score, base = ballot.score, ballot.base_score
    if score is None or base is None or score + epsilon >= base:
        return ""
    return f"a yes is refused: the score {score:.4f} is more than {epsilon:g} below the base's {base:.4f}"


def _epsilon(ballot: Decision) -> float:
    """Return how much worse than its base a candidate may be for a yes."""
    return float(ballot.run.spec.get("policy", {}).get("epsilon", 0.02))


def as_json(ballot: Decision) -> dict[str, Json]:
    """Return a ballot as the API gives it."""
    return {
        "run": ballot.run.name,
        "round": ballot.round,
        "candidate": ballot.candidate,
        "advice": _word(ballot.advice),
        "verdict": verdict(ballot),
        "score": ballot.score,
        "base_score": ballot.base_score,
        "choice": _word(ballot.choice),
        "comment": ballot.comment,
        "deadline": ballot.deadline,
    }


def _word(choice: int | None) -> str | None:
    """Return an answer as a word; None where there is none yet."""
    return Choice(choice).name.lower() if choice else None

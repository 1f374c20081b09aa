"""Ballots that wait for a member's own vote, where the project asks its members."""

import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import Choice
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import Decision, Run
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
    if choice not in CHOICES:
        raise Invalid({"choice": f"must be one of {', '.join(CHOICES)}"})
    if len(comment) > 1000:
        raise Invalid({"comment": "at most 1,000 characters"})
    if choice == "yes" and (fault := why_no_yes(found)):
        raise Invalid({"choice": fault})
    found.choice, found.comment = int(CHOICES[choice]), comment.strip()
    record(db, actor, "vote", f"{run} round {number}", found.run.project_id, choice)
    return found


def why_no_yes(ballot: Decision) -> str:
    """Return why the contract would refuse a yes; empty when it would not."""
    epsilon = float(ballot.run.spec.get("policy", {}).get("epsilon", 0.02))
    score, base = ballot.score, ballot.base_score
    if score is None or base is None or score + epsilon >= base:
        return ""
    return f"a yes is refused: the score {score:.4f} is more than {epsilon:g} below the base's {base:.4f}"


def as_json(ballot: Decision) -> dict[str, Json]:
    """Return a ballot as the API gives it."""
    return {
        "run": ballot.run.name,
        "round": ballot.round,
        "candidate": ballot.candidate,
        "advice": ballot.advice,
        "score": ballot.score,
        "base_score": ballot.base_score,
        "choice": ballot.choice,
        "comment": ballot.comment,
        "deadline": ballot.deadline,
    }

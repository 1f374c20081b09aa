"""What the clients of a round do at the moment, and which of them it does not ask."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.records import Role
from foedus.rounds.view import client_name
from foedus.server.db import ChainEvent, ChainRound, ChainRun, Run, RunEvent

_NEWEST: Final = 500  # events in which the state of a round's tasks is looked for
_ASKED: Final = (Role.MEMBER, Role.LEAD)


def activity_in(db: Session, run: Run, number: int) -> dict[str, str]:
    """Say of each client how far its newest task of the round is."""
    newest = select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id.desc()).limit(_NEWEST)
    found: dict[str, str] = {}
    ended: set[tuple[str, str]] = set()
    for event in reversed(db.scalars(newest).all()):
        if event.round != number or not event.client or not (words := _words(event)):
            continue
        task = event.client, str(event.values.get("kind"))
        if event.kind == "step" and task in ended:
            continue  # steps are written now and then, the last ones after the task's end
        if event.kind in ("task-done", "task-failed"):
            ended.add(task)
        else:
            ended.discard(task)
        found[event.client] = words
    return found


def unasked_in(db: Session, row: ChainRound) -> set[str]:
    """Return those who were no clients of the project any more when the round opened."""
    changes = (
        select(ChainEvent.args)
        .join(ChainRun, ChainRun.project == ChainEvent.project)
        .where(ChainRun.run == row.run, ChainEvent.name == "MemberSet", ChainEvent.block <= row.opened_block)
        .order_by(ChainEvent.block, ChainEvent.position)
    )
    roles: dict[str, Role] = {}
    names: dict[str, str] = {}
    for args in db.scalars(changes):
        address = str(args["account"])
        names[address] = client_name(str(args["name"]), address)
        roles[address] = Role(int(args["role"]))
    return {names[address] for address, role in roles.items() if role not in _ASKED}


def _words(event: RunEvent) -> str:
    values = event.values
    kind = str(values.get("kind", "task"))
    match event.kind:
        case "task":
            return f"{kind} begins"
        case "task-state":
            return " ".join(filter(None, (kind, str(values.get("state", "")), str(values.get("cause", "")))))
        case "step":
            return f"{kind}: {values.get('done')} of {values.get('total')} steps"
        case "task-done":
            return f"{kind} done"
        case "task-failed":
            return f"{kind} failed: {values.get('cause', '')}"
    return ""

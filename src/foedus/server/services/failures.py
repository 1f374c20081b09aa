"""Why a run failed: the first error of its last round, whose task that was, and the end of its log."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import JobState
from foedus.server.auth.actors import Actor
from foedus.server.db import Run, RunEvent
from foedus.server.platform import Platform
from foedus.server.services.logs import find_log, run_tasks

LINES: Final = 40
_NEWEST: Final = 500  # events among which the failed task is looked for
_ADVICE: Final = "Mend what the error says, then start the run again: a new run begins with the same terms."


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failure. `log` is empty for tasks of others, and where there is none."""

    cause: str
    advice: str
    round: int | None = None  # of the task that failed first; none: no task did
    client: str = ""
    kind: str = ""  # of that task
    error: str = ""
    place: str = ""
    log: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def failure_of(db: Session, actor: Actor, platform: Platform, run: Run) -> Failure | None:
    """Return why a run failed; None for one that did not. Logs are shown to whose task it was alone."""
    if run.state != "failed":
        return None
    said, advice = run.cause or "no cause is known", run.hint or _ADVICE
    first = _first_error(db, run)
    if first is None:
        return Failure(said, advice)
    client, kind = first.client or "", str(first.values.get("kind", "task"))
    error = str(first.values.get("cause", ""))
    tasks = run_tasks(db, actor, platform, run, first.round)
    mine = [one for one in tasks if one.is_mine and (one.client, one.kind) == (client, kind)]
    failed = [one for one in mine if one.state is not JobState.COMPLETED]
    if not failed:
        return Failure(said, advice, first.round, client, kind, error)
    place = failed[-1].place
    lines = find_log(db, actor, platform, run, place).text.splitlines()[-LINES:]
    return Failure(said, advice, first.round, client, kind, error, place, "\n".join(lines))


def _first_error(db: Session, run: Run) -> RunEvent | None:
    """Return the first failure of a task in the newest round that has one."""
    newest = select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id.desc()).limit(_NEWEST)
    failed = [event for event in db.scalars(newest) if event.kind == "task-failed"]
    return next((one for one in reversed(failed) if one.round == failed[0].round), None)

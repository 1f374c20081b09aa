"""Tasks of a run: a client sees its own with their logs, those who lead the project see how all are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import JobState, TaskKind
from foedus.launch import JobFolder
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import role_in
from foedus.server.db import Run, RunClient
from foedus.server.errors import NotFound
from foedus.server.platform import Platform
from foedus.site.batch_jobs import BatchJob, tasks_of

_PLACE: Final = re.compile(rf"(r[0-9]{{5,7}}\.[0-9]{{1,9}})/(.+)\.({'|'.join(TaskKind)})")
_LEADS: Final = frozenset({"lead", "owner"})


@dataclass(frozen=True, slots=True)
class RunTask:
    """A task of a run. `place` names it within the run; only those of one's own client have a log to see."""

    place: str
    client: str
    kind: str
    state: JobState
    cause: str
    attempt: int
    scheduler_id: str
    running_s: float | None
    is_mine: bool

    def to_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"state": self.state.value}


@dataclass(frozen=True, slots=True)
class TaskLog:
    """The end of a task's log. `is_over`: nothing will be added."""

    place: str
    text: str
    is_over: bool


def run_tasks(db: Session, actor: Actor, platform: Platform, run: Run, number: int) -> list[RunTask]:
    """Return the tasks of one round that the actor may know of, by step and client."""
    mine, leads = _my_clients(db, actor, run), role_in(db, actor, run.project_id) in _LEADS
    found = [_task(job, mine) for job in tasks_of(platform.home, run.name, number)]
    shown = [task for task in found if task is not None and (task.is_mine or leads)]
    return sorted(shown, key=lambda task: task.place)


def find_log(db: Session, actor: Actor, platform: Platform, run: Run, place: str) -> TaskLog:
    """Return the last 64 KiB of the log of a task of one's own client.

    Raises `NotFound` for other clients' tasks exactly as for missing ones.
    """
    parts = _PLACE.fullmatch(place)
    if parts is None or parts[2] not in _my_clients(db, actor, run):
        raise NotFound("such task")
    path = platform.home.runs / run.name / "jobs" / parts[1] / f"{parts[2]}.{parts[3]}"
    folder = JobFolder(path)
    if not folder.has_spec():
        raise NotFound("such task")
    is_over = run.is_over or folder.has_result() or folder.read_failure() is not None
    return TaskLog(place, folder.read_log(), is_over)


def _my_clients(db: Session, actor: Actor, run: Run) -> Sequence[str]:
    where = (RunClient.run_id == run.id, RunClient.user_id == actor.user_id)
    return db.scalars(select(RunClient.client).where(*where)).all()


def _task(job: BatchJob, mine: Sequence[str]) -> RunTask | None:
    """Return a batch job as a task: whose it is, its folder's name says, which no task can choose."""
    place = job.name.partition("/")[2]
    parts = _PLACE.fullmatch(place)
    if parts is None:
        return None
    return RunTask(
        place=place,
        client=parts[2],
        kind=parts[3],
        state=job.state,
        cause=job.cause,
        attempt=job.attempt,
        scheduler_id=job.scheduler_id,
        running_s=job.running_s,
        is_mine=parts[2] in mine,
    )

"""Writes down what happens in a run, for the pages: events in order, numbers by round, where it stands."""

import enum
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.records import TaskKind
from foedus.launch import JobFolder
from foedus.rounds.documents import MergeResult, TrainResult
from foedus.rounds.narrate import figures_of
from foedus.rounds.progress import Progress
from foedus.rounds.view import RunView
from foedus.server.db import ChainVersion, Metric, Run, RunEvent
from foedus.server.platform import Platform
from foedus.server.worker.leases import LEASE_S, Lease, renew

_OF_CLIENTS: Final = ("loss", "f1", "accuracy", "seconds")
_OF_MODEL: Final = ("test_accuracy", "test_f1")
_RECALLED: Final = 3  # steps of rounds
_STEPS_S: Final = 1.0  # how often it is told how far tasks are


class Teller:
    """Collects what a driver says, and writes it in one transaction now and then."""

    def __init__(
        self,
        platform: Platform,
        lease: Lease,
        index: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`index` brings the chain's index up to date: who is told of an event must find it there."""
        self._platform, self._lease, self._index, self._clock = platform, lease, index, clock
        self._waiting: list[Progress] = []
        self._steps: dict[tuple[str | None, object], Progress] = {}
        self._standing: tuple[int, int] | None = None
        self._stepped = self._renewed = clock()

    def hear(self, progress: Progress) -> None:
        """Remember a happening. Of how far tasks are, only the newest counts."""
        if progress.what == "step":
            self._steps[progress.client, progress.values.get("kind")] = progress
        else:
            self._waiting.append(progress)

    def recall(self, jobs: Path) -> None:
        """Note the figures of the newest tasks again: a worker that was killed may not have come to it.

        `jobs` holds the run's job folders. Raises `LeaseLost`.
        """
        steps = sorted(jobs.glob("r*.*"))[-_RECALLED:]
        with self._platform.writing() as db:
            self._lease.require(db)
            for task in (task for step in steps for task in step.iterdir() if task.is_dir()):
                client, _, kind = task.name.rpartition(".")
                values = JobFolder(task).read_result()
                if values is not None:
                    result = (TrainResult if kind == TaskKind.TRAIN else MergeResult).from_json(
                        values, f"the result of {task.name}"
                    )
                    number = int(task.parent.name[1:].partition(".")[0])
                    self._measure_all(db, client, number, figures_of(result))

    def write(self, view: RunView | None = None) -> None:
        """Write what was heard, and hold the lease. Raises `LeaseLost`."""
        now = self._clock()
        if self._steps and now - self._stepped >= _STEPS_S:
            self._stepped = now
            self._waiting += self._steps.values()
            self._steps.clear()
        standing = self._standing if view is None else (view.version, view.round.number if view.round else 0)
        is_news = bool(self._waiting) or standing != self._standing
        if not is_news and now - self._renewed < LEASE_S / 3:
            return
        if is_news:
            self._index()
        with self._platform.writing() as db:
            renew(db, self._lease, self._platform.now())
            for progress in self._waiting:
                self._write(db, progress)
            if view is not None:
                _note_standing(db, db.get_one(Run, self._lease.id), view)
        self._renewed, self._standing = now, standing
        self._waiting.clear()

    def change(self, state: str, cause: str = "", hint: str = "", **values: Any) -> None:  # noqa: ANN401
        """Give the run a state, and say so to whoever watches. Raises `LeaseLost`."""
        self.write()
        self._index()
        with self._platform.writing() as db:
            self._lease.require(db)
            run, now = db.get_one(Run, self._lease.id), self._platform.now()
            run.state, run.cause, run.hint = state, cause[:4000], hint[:4000]
            run.started_at = run.started_at or now
            run.ended_at = now if run.is_over else None
            for name, value in values.items():
                setattr(run, name, value)
            said = {"state": state, "cause": cause[:4000]}
            db.add(RunEvent(run_id=run.id, kind="state", round=run.round, client=None, values=said))

    def _write(self, db: Session, progress: Progress) -> None:
        values = {name: _plain(value) for name, value in progress.values.items()}
        event = RunEvent(
            run_id=self._lease.id,
            kind=progress.what,
            round=progress.round,
            client=progress.client,
            values=values,
        )
        db.add(event)
        if progress.what == "task-done":
            self._measure_all(db, progress.client or "", progress.round, values)

    def _measure_all(self, db: Session, client: str, number: int, values: Mapping[str, object]) -> None:
        for names, whose in ((_OF_CLIENTS, client), (_OF_MODEL, "")):
            for name in names:
                value = values.get(name)
                if isinstance(value, int | float):
                    self._measure(db, name, whose, number, float(value))

    def _measure(self, db: Session, name: str, client: str, number: int, value: float) -> None:
        db.merge(Metric(run_id=self._lease.id, name=name, client=client, round=number, step=0, value=value))


def _note_standing(db: Session, run: Run, view: RunView) -> None:
    """Note which version is in force, and its score: the candidate's counts only once it is accepted."""
    run.version = view.version
    run.round = view.round.number if view.round else 0
    version = select(ChainVersion.round).filter_by(run=view.run, version=view.version)
    made_in = db.scalar(version)
    if made_in is not None:  # else the index is being written anew
        test = select(Metric.value).filter_by(run_id=run.id, name="test_f1", client="", round=made_in)
        run.score = db.scalar(test)


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, enum.Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool | None) else str(value)

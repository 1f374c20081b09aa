"""How long a run has taken, and how long it may still take."""

import datetime
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.db import ChainRound, Run

_LOOKED_AT: Final = 10  # ended rounds, the newest: earlier ones may have waited in other queues


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds since a run's start, until now or its end, and those that its other rounds may take."""

    elapsed_s: float
    remaining_s: float | None  # none: not known before a round has ended, or over

    def to_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {"elapsed_s": self.elapsed_s, "remaining_s": self.remaining_s}

    @property
    def words(self) -> str:
        """Say it."""
        said = in_words(self.elapsed_s)
        return said if self.remaining_s is None else f"{said} so far, about {in_words(self.remaining_s)} left"


def pace_of(db: Session, run: Run, now: datetime.datetime) -> Pace | None:
    """Return how a run gets on; None before it has begun."""
    if run.started_at is None:
        return None
    elapsed = max(0.0, ((run.ended_at or now) - run.started_at).total_seconds())
    return Pace(elapsed, None if run.is_over else _remaining_s(db, run))


def in_words(seconds: float) -> str:
    """Write a duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    said = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(said[:2]) or "0 s"


def _remaining_s(db: Session, run: Run) -> float | None:
    ended = db.execute(
        select(ChainRound.number, ChainRound.opened_at, ChainRound.ended_at)
        .where(ChainRound.run == (run.chain_run or 0), ChainRound.ended_at.is_not(None))
        .order_by(ChainRound.number.desc())
        .limit(_LOOKED_AT)
    ).all()
    if not ended:
        return None
    took = max(0, int(ended[0].ended_at or 0) - int(ended[-1].opened_at))
    return took / len(ended) * max(0, run.rounds - int(ended[0].number))

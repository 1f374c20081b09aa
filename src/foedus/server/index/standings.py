"""Sums of what clients did and earned, kept with every event: nobody adds up a whole chain to show them."""

from collections.abc import Iterator
from typing import Final

from foedus.core.records import WAD
from foedus.server.db import ChainAnswer, ChainRound, ChainRun, ChainStanding, ChainVote
from foedus.server.index.rows import Rows

ALL_RUNS: Final = 0
"""The `run` of a client's standing in its whole project."""
_RECENT: Final = 30
_DIGITS: Final = 40


def answered(rows: Rows, answer: ChainAnswer) -> None:
    """Count an update, or that a client declined."""
    for one in _of(rows, answer.run, answer.client):
        one.registrations += answer.cid is not None
        kept = list(one.recent.items())[1 - _RECENT :]
        one.recent = {**dict(kept), _place(answer): 0.0}


def paid(rows: Rows, answer: ChainAnswer, amount: int) -> None:
    """Add a reward, in 1e-18."""
    for one in _of(rows, answer.run, answer.client):
        one.points = as_text(int(one.points) + amount)
        one.paid += 1
        if _place(answer) in one.recent:
            one.recent = {**one.recent, _place(answer): amount / WAD}


def voted(rows: Rows, vote: ChainVote) -> None:
    """Count a vote."""
    for one in _of(rows, vote.run, vote.client):
        one.votes += 1


def round_ended(rows: Rows, ended: ChainRound) -> None:
    """Count the round for all that answered in it."""
    for client in {one.client for one in rows.all_of(ChainAnswer, ended.run, ended.number)}:
        for one in _of(rows, ended.run, client):
            one.answered += 1


def as_text(points: int) -> str:
    """Write points such that greater ones come later in the alphabet."""
    return str(max(0, min(points, 10**_DIGITS - 1))).zfill(_DIGITS)


def _place(answer: ChainAnswer) -> str:
    return f"{answer.run}/{answer.round}/{answer.step}"


def _of(rows: Rows, run: int, client: str) -> Iterator[ChainStanding]:
    """Yield the client's standing in the run and that in the project, new ones where there are none yet."""
    found = rows.get(ChainRun, run)
    if found is None:
        return
    for number in (run, ALL_RUNS):
        key = (found.project, number, client)
        one = rows.get(ChainStanding, key)
        if one is None:
            new = ChainStanding(project=key[0], run=number, client=client, points=as_text(0), recent={})
            new.registrations = new.paid = new.votes = new.answered = 0
            one = rows.put(key, new)
        yield one

"""What a run tells while it goes on: its numbers and its events, both limited by page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.db import Metric, Run, RunEvent
from foedus.server.listing import plain

MOST: Final = 1000  # events in one answer
MOST_POINTS: Final = 400
"""Rounds of a line in a chart."""

_MOST_CELLS: Final = 2400  # of a chart's table: pages stay below 200 kB
_MOST_CLIENTS: Final = 20  # that have a line of their own
_CHARTS: Final = (  # `score` stands for the name of the model's score
    ("loss", "Training loss of the clients", "loss"),
    ("f1", "{score} of the local models, each on its client's validation data", "{score}"),
    ("test_accuracy", "Accuracy of the merged models on the test set", "accuracy"),
    ("test_f1", "{score} of the merged models on the test set", "{score}"),
)


@dataclass(frozen=True, slots=True)
class CurveChart:
    """A chart of one number over rounds: the mean of the clients, their range, and each of them."""

    caption: str
    values: dict[str, Any]  # as the chart `lines` wants them
    summary: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


def curve_charts(db: Session, run: Run) -> list[CurveChart]:
    """Return the charts of a run's numbers.

    All begin and end with the same rounds, so that one above the other they line up; a round without a
    number is a gap. Long runs are thinned, see `thinned`. Of many clients, only mean and range are drawn.
    """
    rows = db.execute(
        select(Metric.name, Metric.round, Metric.client, Metric.value)
        .where(Metric.run_id == run.id, Metric.name.in_([name for name, _, _ in _CHARTS]))
        .order_by(Metric.round)
    )
    found: dict[str, dict[int, dict[str, float]]] = {}
    for name, number, client, value in rows:
        if math.isfinite(value):  # a loss that overflowed cannot be drawn
            found.setdefault(name, {}).setdefault(number, {})[client] = value
    score = run.score_name
    known = [number for of in found.values() for number in of]
    rounds = range(min(known, default=1), max(known, default=0) + 1)
    return [
        _chart(caption.format(score=score), unit.format(score=score), found[name], rounds)
        for name, caption, unit in _CHARTS
        if name in found
    ]


def _chart(caption: str, unit: str, of: dict[int, dict[str, float]], rounds: range) -> CurveChart:
    clients = sorted({client for values in of.values() for client in values})
    drawn = clients if len(clients) <= _MOST_CLIENTS else []
    mean = {number: sum(values.values()) / len(values) for number, values in of.items()}
    x = thinned(mean, rounds, min(MOST_POINTS, _MOST_CELLS // (len(drawn) + 2)))
    values: dict[str, Any] = {"x": x, "x_name": "round", "y_name": unit, "group": "rounds"}
    lines: list[dict[str, Any]] = [
        {
            "name": "mean of clients" if len(clients) > 1 else unit,
            "values": rounded([mean.get(n) for n in x]),
        }
    ]
    if len(clients) > 1:
        shown = [of.get(number, {}) for number in x]
        values["band"] = {
            "low": rounded([min(one.values(), default=None) for one in shown]),
            "high": rounded([max(one.values(), default=None) for one in shown]),
        }
        lines += [
            {"name": client, "quiet": True, "values": rounded([one.get(client) for one in shown])}
            for client in drawn
        ]
    values["series"] = lines
    first, last = min(mean), max(mean)
    said = f"From {mean[first]:.4g} in round {first} to {mean[last]:.4g} in round {last}"
    heads = ["round", *(str(line["name"]) for line in lines)]
    table = list(zip(x, *(line["values"] for line in lines), strict=True))
    return CurveChart(caption, values, said, heads, table)


def thinned(known: Mapping[int, float], rounds: range, most: int) -> list[int]:
    """Return about `most` of the rounds in order, the first and the last among them.

    Of each stretch, the rounds with the lowest and the highest known number stay, so the best round does,
    too; of a stretch without any, a round stays that is a gap.
    """
    size = 1 if len(rounds) <= most else -(-2 * len(rounds) // most)
    kept = {rounds[0], rounds[-1]}
    for start in range(0, len(rounds), size):
        stretch = rounds[start : start + size]
        there = [number for number in stretch if number in known] or stretch[:1]
        kept |= {min(there, key=lambda n: known.get(n, 0.0)), max(there, key=lambda n: known.get(n, 0.0))}
    return sorted(kept)


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Return the numbers as exact as a chart can show them."""
    return [None if value is None else float(f"{value:.5g}") for value in values]


def metric_rows(db: Session, run: Run, first: int, last: int) -> list[Json]:
    """Return the run's numbers of these rounds in order; those of the global model have an empty client."""
    chosen = select(Metric).where(Metric.run_id == run.id, Metric.round.between(first, last))
    order = (Metric.round, Metric.name, Metric.client, Metric.step)
    return [
        {"round": one.round, "name": one.name, "client": one.client, "step": one.step, "value": one.value}
        for one in db.scalars(chosen.order_by(*order))
    ]


def event_rows(db: Session, run: Run, after: int) -> list[Json]:
    """Return up to `MOST` events of the run whose ids are greater than `after`."""
    chosen = select(RunEvent).where(RunEvent.run_id == run.id, RunEvent.id > after)
    return [
        {
            "id": one.id,
            "at": plain(one.at),
            "kind": one.kind,
            "round": one.round,
            "client": one.client,
            "values": one.values,
        }
        for one in db.scalars(chosen.order_by(RunEvent.id).limit(MOST))
    ]

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
_MOST_POINTS: Final = 400  # of a line in a chart
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

    Long runs are thinned to some hundred rounds: of each stretch, the lowest and the highest stay, so the
    best round does, too. Of many clients, only mean and range are drawn.
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
    return [
        _chart(caption.format(score=score), unit.format(score=score), found[name])
        for name, caption, unit in _CHARTS
        if name in found
    ]


def _chart(caption: str, unit: str, of: dict[int, dict[str, float]]) -> CurveChart:
    clients = sorted({client for values in of.values() for client in values})
    drawn = clients if len(clients) <= _MOST_CLIENTS else []
    mean = {number: sum(values.values()) / len(values) for number, values in of.items()}
    rounds = _thinned(mean, min(_MOST_POINTS, _MOST_CELLS // (len(drawn) + 2)))
    means = [mean[number] for number in rounds]
    values: dict[str, Any] = {"x": rounds, "x_name": "round", "y_name": unit, "group": "rounds"}
    lines: list[dict[str, Any]] = [
        {"name": "mean of clients" if len(clients) > 1 else unit, "values": _rounded(means)}
    ]
    if len(clients) > 1:
        values["band"] = {
            "low": _rounded([min(of[number].values()) for number in rounds]),
            "high": _rounded([max(of[number].values()) for number in rounds]),
        }
        lines += [
            {"name": client, "quiet": True, "values": _rounded([of[number].get(client) for number in rounds])}
            for client in drawn
        ]
    values["series"] = lines
    said = f"From {means[0]:.4g} in round {rounds[0]} to {means[-1]:.4g} in round {rounds[-1]}"
    heads = ["round", *(str(line["name"]) for line in lines)]
    table = list(zip(rounds, *(line["values"] for line in lines), strict=True))
    return CurveChart(caption, values, said, heads, table)


def _thinned(mean: Mapping[int, float], most: int) -> list[int]:
    """Return about `most` of the rounds in order: of each stretch, the lowest and the highest."""
    rounds = sorted(mean)
    if len(rounds) <= most:
        return rounds
    kept, size = {rounds[0], rounds[-1]}, -(-2 * len(rounds) // most)
    for start in range(0, len(rounds), size):
        stretch = rounds[start : start + size]
        kept |= {min(stretch, key=mean.__getitem__), max(stretch, key=mean.__getitem__)}
    return sorted(kept)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
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

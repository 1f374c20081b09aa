"""What the charts of a report show: titles, sentences and series, for page, tables and picture alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from foedus.client.report.words import count, figures_of, listed, number, percent, score
from foedus.core.canonical import Json
from foedus.learn.score_words import LABELS
from foedus.rounds.summary import ClientRound, Figures, RoundSummary, RunSummary

MAX_POINTS = 1_500  # of a series: more than a screen has columns
MAX_CLIENTS = 12  # with a line each; of more, the mean and the range are shown
GLOBAL, REJECTED = "global model", "rejected candidate"

Numbers: TypeAlias = tuple[float | None, ...]
Pick: TypeAlias = Callable[[ClientRound], float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one colour of bars. `kind` decides how it is drawn: client | global | rejected."""

    name: str
    values: Numbers
    kind: str = "client"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it shows, the same in a sentence, and its numbers."""

    key: str
    title: str
    caption: str
    sentence: str
    x_name: str
    x: tuple[int, ...]
    series: tuple[Series, ...] = field(default_factory=tuple)
    is_bars: bool = False
    unit: str = "number"  # number | score | percent | count

    @property
    def show(self) -> Callable[[float], str]:
        """How the chart's values are written."""
        return {"score": score, "percent": percent, "count": lambda v: count(int(v))}.get(self.unit, number)

    @property
    def has_values(self) -> bool:
        """Whether there is anything to draw."""
        return any(value is not None for series in self.series for value in series.values)

    def to_json(self) -> dict[str, Json]:
        """Return what the page's script draws. Names stand in lists, never as keys: they may be anything."""
        return {
            "key": self.key,
            "title": self.title,
            "x_name": self.x_name,
            "x": self.x,
            "series": [{"name": s.name, "kind": s.kind, "values": s.values} for s in self.series],
            "is_bars": self.is_bars,
            "unit": self.unit,
        }


def curves(run: RunSummary) -> list[Chart]:
    """Return loss, score and accuracy: local models on the clients' data, the global one on the test set."""
    words = figures_of(run)
    return [
        _curve(run, "loss", "Loss", "Lower is better.", lambda f: f.loss),
        _curve(
            run,
            "f1",
            words.name,
            "The mean over all labels, also those a client does not hold: a client with half of the labels"
            " ends near one half."
            if words == LABELS
            else f"{words.means}.",
            lambda f: f.f1,
        ),
        _curve(run, "accuracy", "Accuracy", f"{words.accuracy_means}.", lambda f: f.accuracy),
    ]


def contributions(run: RunSummary) -> list[Chart]:
    """Return rewards and weights of the clients over the rounds."""
    rounds = sampled(run.rounds)
    x = tuple(one.number for one in rounds)
    rewards = Chart(
        "reward",
        "Reward",
        "What the contract gave each update, between 0 and 1; paid when the round is accepted.",
        _reward_sentence(run),
        "round",
        x,
        _clients(run, rounds, lambda entry: entry.reward),
    )
    weights = Chart(
        "weight",
        "Weight in the merge",
        "Each update's share in the candidate: its examples, weighted by its reward.",
        _weight_sentence(run),
        "round",
        x,
        _clients(run, rounds, lambda entry: entry.weight),
        is_bars=len(run.clients) <= MAX_CLIENTS,
        unit="percent",
    )
    return [rewards, weights]


def labels(run: RunSummary) -> Chart:
    """Return how many examples of each label every client holds."""
    histograms = run.data.histograms
    sizes = max(map(len, histograms.values()), default=0)
    shown = sorted(histograms)[:MAX_CLIENTS]
    holdings = [
        f"{client} {sum(histograms[client]):,} examples of {sum(map(bool, histograms[client]))} labels"
        for client in shown
    ]
    more = (
        f" {len(histograms) - len(shown):,} more clients are not drawn."
        if len(histograms) > len(shown)
        else ""
    )
    return Chart(
        "labels",
        "Labels",
        "Training and validation examples of each label, by client. They never leave their owners.",
        f"{'; '.join(holdings)}.{more}" if holdings else "Nobody told how the examples are spread.",
        "label",
        tuple(range(sizes)),
        tuple(Series(c, tuple(map(float, histograms[c]))) for c in shown),
        is_bars=True,
        unit="count",
    )


def sampled(rounds: Sequence[RoundSummary]) -> list[RoundSummary]:
    """Return at most `MAX_POINTS` rounds, evenly spread, the first and the last among them."""
    if len(rounds) <= MAX_POINTS:
        return list(rounds)
    step = (len(rounds) - 1) / (MAX_POINTS - 1)
    return [rounds[round(index * step)] for index in range(MAX_POINTS)]


def global_figures(rounds: Sequence[RoundSummary]) -> list[Figures | None]:
    """Return the test figures of the version in force after each round that ended."""
    current: Figures | None = None
    found = []
    for one in rounds:
        if one.phase == "accepted":
            current = one.test
        found.append(current if one.is_final else None)
    return found


def _curve(run: RunSummary, key: str, title: str, remark: str, pick: Callable[[Figures], float]) -> Chart:
    in_force = dict(zip((one.number for one in run.rounds), global_figures(run.rounds), strict=True))
    rounds = sampled(run.rounds)
    overall = tuple(pick(f) if (f := in_force[one.number]) else None for one in rounds)
    rejected = tuple(pick(one.test) if one.phase == "rejected" and one.test else None for one in rounds)
    series = [
        Series(GLOBAL, overall, "global"),
        *_clients(run, rounds, lambda entry: _local(entry, key, pick)),
    ]
    if any(value is not None for value in rejected):
        series.append(Series(REJECTED, rejected, "rejected"))
    caption = (
        f"Local models on their clients' own validation data; the global model on the test set. {remark}"
    )
    sentence = _trend(title, [(n, pick(f)) for n, f in in_force.items() if f], key == "loss")
    x = tuple(one.number for one in rounds)
    unit = "number" if key == "loss" else "score"
    return Chart(key, title, caption, sentence, "round", x, tuple(series), unit=unit)


def _local(entry: ClientRound, key: str, pick: Callable[[Figures], float]) -> float | None:
    if entry.training is not None:
        return pick(entry.training.local)
    return entry.score if key == "f1" else None  # the chain has scores also when the job folder is gone


def _clients(run: RunSummary, rounds: Sequence[RoundSummary], pick: Pick) -> tuple[Series, ...]:
    """Return a series per client; of many clients their lowest, mean and highest value."""
    rows = [{entry.client: pick(entry) for entry in one.clients} for one in rounds]
    if len(run.clients) <= MAX_CLIENTS:
        return tuple(Series(c, tuple(row.get(c) for row in rows)) for c in run.clients)
    known = [[value for value in row.values() if value is not None] for row in rows]
    return (
        Series("lowest client", tuple(min(values, default=None) for values in known)),
        Series("mean of clients", tuple(sum(v) / len(v) if v else None for v in known)),
        Series("highest client", tuple(max(values, default=None) for values in known)),
    )


def _trend(title: str, points: Sequence[tuple[int, float]], is_loss: bool) -> str:
    """Say how the global model fared. `points` are (round, value)."""
    if not points:
        return f"{title} of the global model on the test set is not known for any round."
    (start, first), (end, last) = points[0], points[-1]
    if len(points) == 1:
        return f"{title} of the global model on the test set was {number(last)} after round {end}."
    if len({value for _, value in points}) == 1:
        return f"{title} of the global model on the test set stayed at {number(last)} until round {end}."
    verb = "came back from" if last == first else "fell from" if last < first else "rose from"
    at, best = (min if is_loss else max)(points, key=lambda point: point[1])
    ending = "" if best == last else f"; best was {number(best)} after round {at}"
    return (
        f"{title} of the global model on the test set {verb} {number(first)} after round {start}"
        f" to {number(last)} after round {end}{ending}."
    )


def _reward_sentence(run: RunSummary) -> str:
    totals = dict.fromkeys(run.clients, 0.0)
    for one in run.rounds:
        for entry in one.clients:
            totals[entry.client] = totals.get(entry.client, 0.0) + entry.paid
    if not any(totals.values()):
        return "No rewards were paid."
    ranked = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_CLIENTS]
    parts = [f"{client} {amount:.3f}" for client, amount in ranked]
    return f"Paid in all accepted rounds together: {listed(parts)}."


def _weight_sentence(run: RunSummary) -> str:
    merged = [one for one in run.rounds if any(entry.weight for entry in one.clients)]
    if not merged:
        return "Nothing was merged."
    last = merged[-1]
    shares = sorted(last.clients, key=lambda entry: (-(entry.weight or 0), entry.client))
    parts = [f"{entry.client} {percent(entry.weight)}" for entry in shares[:MAX_CLIENTS] if entry.weight]
    return f"In round {last.number} the updates weighed: {listed(parts)}."

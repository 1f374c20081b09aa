"""The lists of a report: its cards, rounds at a glance, settings, and long lists in groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, TypeVar

from foedus.client.report.words import NOTHING, count, duration, figures_of, outcomes, score
from foedus.core.canonical import Json, canonical_json
from foedus.rounds.summary import ClientRound, RoundSummary, RunSummary, current_figures

GROUP = 200  # longer lists are folded into groups of so many
MAX_ENTRIES = 6_000  # clients' entries in the list of rounds; versions and blocks shown
GLANCE_ROUNDS, GLANCE_CLIENTS = 60, 24

_SPARK = (120.0, 28.0)  # width and height of a card's curve
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Card:
    """One figure at the top of the report."""

    label: str
    value: str
    note: str
    spark: str = ""  # points of an SVG polyline


@dataclass(frozen=True, slots=True)
class Group(Generic[_Item]):
    """A part of a long list; without title when it is all of it."""

    title: str
    items: Sequence[_Item]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Glance:
    """One client in one round, as a sign: shape for its update, mark for its vote, both in words."""

    number: int
    kind: str  # registered | declined | silent | refused
    sign: str
    vote: str  # yes | no | abstain | none
    mark: str
    words: str


def cards(run: RunSummary) -> list[Card]:
    """Return the figures that people look for first."""
    figures = current_figures(run)
    points = [one.test for one in run.rounds if one.phase == "accepted" and one.test]
    accuracy, f1 = [f.accuracy for f in points], [f.f1 for f in points]
    return [
        Card(
            "Accuracy, test set",
            score(figures.accuracy if figures else None),
            _since(accuracy),
            spark(accuracy),
        ),
        Card(
            f"{figures_of(run).name}, test set", score(figures.f1 if figures else None), _since(f1), spark(f1)
        ),
        _rounds_card(run),
        _updates_card(run),
        _time_card(run),
    ]


def _rounds_card(run: RunSummary) -> Card:
    found = outcomes(run)
    others = [f"{found[phase]:,} {phase}" for phase in ("rejected", "empty") if found[phase]]
    note = " · ".join(others) or "none rejected, none empty"
    return Card("Rounds accepted", f"{found['accepted']:,} / {run.rounds_planned:,}", note)


def _updates_card(run: RunSummary) -> Card:
    entries = [entry for one in run.rounds for entry in one.clients]
    declined = sum(entry.state == "declined" for entry in entries)
    refused = sum(bool(entry.refused) for entry in entries)
    ayes = sum(entry.vote.choice == "yes" for entry in entries if entry.vote)
    cast = sum(entry.vote is not None for entry in entries)
    notes = [f"{declined:,} declined"] if declined else []
    notes += [f"{refused:,} refused"] if refused else []
    notes.append(f"{ayes:,} of {cast:,} votes yes")
    return Card("Updates", count(sum(entry.state == "registered" for entry in entries)), " · ".join(notes))


def _time_card(run: RunSummary) -> Card:
    if run.started_at is None or run.changed_at is None:
        return Card("Time", NOTHING, "not started")
    ended = [one for one in run.rounds if one.ended_at is not None]
    whole = run.changed_at - run.started_at
    mean = sum((one.ended_at or 0) - one.opened_at for one in ended) / len(ended) if ended else None
    note = f"{duration(mean)} a round, {count(len(run.blocks))} blocks"
    return Card("Time on the chain", duration(whole), note)


def _since(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "of the current version"
    return f"{values[-1] - values[0]:+.4f} since version 1"


def spark(values: Sequence[float]) -> str:
    """Return a curve as points of an SVG polyline, at most one per pixel; empty below two values."""
    if len(values) < 2:
        return ""
    width, height = _SPARK
    step = max(1, len(values) // int(width))
    kept = [*values[:-1:step], values[-1]]
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    return " ".join(
        f"{index * width / (len(kept) - 1):.1f},{height - 2 - (value - low) / span * (height - 4):.1f}"
        for index, value in enumerate(kept)
    )


def glance_rounds(run: RunSummary) -> Sequence[RoundSummary]:
    """Return the rounds that are shown at a glance: the newest."""
    return run.rounds[-GLANCE_ROUNDS:]


def glance(run: RunSummary) -> list[tuple[str, list[Glance | None]]]:
    """Return a row of signs per client; None where a client was not asked."""
    rounds = glance_rounds(run)
    by_round = [{entry.client: entry for entry in one.clients} for one in rounds]
    return [
        (
            client,
            [
                _sign(one.number, row[client]) if client in row else None
                for one, row in zip(rounds, by_round, strict=True)
            ],
        )
        for client in run.clients[:GLANCE_CLIENTS]
    ]


def _sign(number: int, entry: ClientRound) -> Glance:
    kind = "refused" if entry.refused else entry.state
    sign = {"registered": "●", "declined": "○", "refused": "▲"}.get(kind, "·")
    vote = entry.vote.choice if entry.vote else "none"
    mark = {"yes": "✓", "no": "✕", "abstain": "–"}.get(vote, "")
    did = {
        "registered": "registered an update",
        "declined": f"declined ({entry.reason})",
        "silent": "no answer",
    }
    what = did.get(kind, f"the merge refused its update ({entry.refused})")
    words = f"Round {number}, {entry.client}: {what}" + (f"; voted {vote}" if mark else "")
    return Glance(number, kind, sign, vote, mark, words)


def newest_rounds(run: RunSummary) -> Sequence[RoundSummary]:
    """Return the rounds listed in full: all, unless they would make the page too heavy."""
    most = max(20, MAX_ENTRIES // max(1, len(run.clients)))
    return run.rounds[-most:]


def grouped(
    items: Sequence[_Item], title: Callable[[_Item, _Item], str], open_first: bool
) -> list[Group[_Item]]:
    """Fold a long list; the group that people look at first (the first or the last one) stands open."""
    if len(items) <= GROUP:
        return [Group("", items, True)] if items else []
    parts = [items[start : start + GROUP] for start in range(0, len(items), GROUP)]
    shown = 0 if open_first else len(parts) - 1
    return [Group(title(part[0], part[-1]), part, index == shown) for index, part in enumerate(parts)]


def settings(run: RunSummary) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the spec in sections of (key, value)."""
    plain = [(key, _text(value)) for key, value in run.settings.items() if not isinstance(value, dict)]
    sections = [("run", plain)]
    for name, section in sorted(run.settings.items()):
        if isinstance(section, dict):
            sections.append((name, [(key, setting(name, key, value)) for key, value in section.items()]))
    return sections


def setting(section: str, key: str, value: Json) -> str:
    """Show one setting of a spec; of a folder only its name."""
    if (section, key) == ("data", "folder") and isinstance(value, str):
        return f"…/{PurePath(value).name}"  # where a folder lies is nobody else's business
    return _text(value)


def _text(value: Json) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_text(one)}" for key, one in sorted(value.items())) or NOTHING
    if isinstance(value, str):
        return value
    return canonical_json(value).decode().strip()

"""Numbers, times and ids as a report shows them; and its sentences."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from foedus.learn.choices import score_words
from foedus.learn.score_words import ScoreWords
from foedus.rounds.summary import RoundSummary, RunSummary, current_figures

NOTHING = "–"
_ALGORITHMS = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedsgd": "FedSGD",
    "fedma": "FedMA",
    "fedadam": "FedAdam",
    "fedyogi": "FedYogi",
    "fedadagrad": "FedAdagrad",
    "fedheal": "FedHEAL",
}


def short_id(text: str) -> str:
    """Shorten an id in its middle: enough of both ends to tell two apart."""
    return text if len(text) <= 20 else f"{text[:9]}…{text[-6:]}"


def number(value: float | None) -> str:
    """Show a figure with four significant digits or more."""
    if value is None:
        return NOTHING
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:#.4g}" if value == 0 or 1e-4 <= abs(value) < 1000 else f"{value:.3e}"


def score(value: float | None) -> str:
    """Show a score in [0, 1]."""
    return NOTHING if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """Show a share."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def count(value: int) -> str:
    """Show a whole number with its thousands apart."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Show a number of things: `1 round`, `2 rounds`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def utc(seconds: int | None) -> str:
    """Show a block's time."""
    if seconds is None or not 0 <= seconds < 253_402_300_800:  # the year 10000: a hostile block's
        return NOTHING
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """Show a length of time in its two largest units."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def listed(words: Sequence[str]) -> str:
    """Join words as in a sentence."""
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def algorithm_name(run: RunSummary) -> str:
    """Return the algorithm's name as papers write it."""
    section = run.settings.get("algorithm")
    name = str(section.get("name", "")) if isinstance(section, dict) else ""
    return _ALGORITHMS.get(name, name)


def figures_of(run: RunSummary) -> ScoreWords:
    """Return what the figures of the run's model are called."""
    section = run.settings.get("model")
    return score_words(section.get("name") if isinstance(section, dict) else None)


def outcomes(run: RunSummary) -> Counter[str]:
    """Count the rounds by how they ended."""
    return Counter(one.phase for one in run.rounds)


def headline(run: RunSummary) -> str:
    """Say in one or two sentences what became of the run."""
    if run.state == "new":
        return f"The run has not reached the chain yet; {counted(run.rounds_planned, 'round')} are planned."
    found = outcomes(run)
    ended = found["accepted"] + found["rejected"] + found["empty"]
    of = f" of {run.rounds_planned:,}" if ended != run.rounds_planned else ""
    parts = [f"{found['accepted']:,} accepted"]
    parts += [f"{found[phase]:,} {phase}" for phase in ("rejected", "empty") if found[phase]]
    first = f"{ended:,}{of} {'round' if ended == 1 and not of else 'rounds'}, {listed(parts)}"
    who = f"{counted(len(run.clients), 'client')} trained one model with {algorithm_name(run)}"
    return f"{first}: {who}.{_result(run)}"


def _result(run: RunSummary) -> str:
    figures = current_figures(run)
    if figures is None:
        return ""
    reached = f"accuracy {figures.accuracy:.3f} and {figures_of(run).name} {figures.f1:.3f}"
    return f" Version {run.version} reaches {reached} on the {figures.examples:,} examples of the test set."


def votes(one: RoundSummary) -> str:
    """Count the answers of a ballot in words."""
    found = Counter(entry.vote.choice for entry in one.clients if entry.vote)
    return " · ".join(f"{found[c]} {c}" for c in ("yes", "no", "abstain") if found[c]) or NOTHING


def registered(one: RoundSummary) -> int:
    """Count the updates of a round."""
    return sum(entry.state == "registered" for entry in one.clients)

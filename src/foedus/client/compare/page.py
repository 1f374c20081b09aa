"""The page of a comparison: one HTML file in the look of the report, that asks the network for nothing.

Labels and settings in it come from a spec, so from anybody: as in the report, templates escape all of them.
"""

import shlex
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from foedus import __version__
from foedus.client.compare.records import Comparison, Curve, RunResult
from foedus.client.compare.words import COUNTED, DEVIATION, NOTHING, plus_minus, table
from foedus.client.report.charts import Chart, Series
from foedus.client.report.page import COLOURS, asset, embedded_json, environment, inlined
from foedus.client.report.tables import Card
from foedus.client.report.words import counted, duration
from foedus.core.canonical import Json
from foedus.learn.score_words import LABELS

_PACKAGE: Final = "foedus.client.compare"


def render_comparison(comparison: Comparison, picture: bytes = b"") -> str:
    """Return the page. `picture` is the PNG of the curves, for readers without scripts."""
    charts = _charts(comparison)
    curves = {"accuracy": comparison.accuracy, "f1": comparison.f1, "loss": comparison.loss}
    data: dict[str, Json] = {
        "name": comparison.name,
        "target": comparison.target,
        "charts": [_drawn(charts[key], found) for key, found in curves.items()],
    }
    titles, rows = table(comparison)
    page = environment(_PACKAGE, "foedus.client.report").get_template("comparison.html")
    return page.render(
        **inlined(asset(_PACKAGE, "comparison.js"), asset(_PACKAGE, "comparison.css")),
        comparison=comparison,
        charts=charts,
        cards=_cards(comparison),
        lead=_lead(comparison),
        titles=titles,
        rows=rows,
        counted=COUNTED,
        deviation=DEVIATION,
        colours=COLOURS,
        last=_last,
        verify=[f"foedus verify {shlex.quote(run.run)} --home FOLDER" for run in comparison.runs if run.run],
        data=embedded_json(data),
        picture=b64encode(picture).decode(),
        foedus_version=__version__,
    )


def _charts(comparison: Comparison) -> dict[str, Chart]:
    words = comparison.words
    name, accuracy, score = words.name, f"{words.accuracy_means}.", f"{words.means}."
    return {
        "accuracy": _chart("accuracy", "Test accuracy", comparison.accuracy, accuracy, "score"),
        "f1": _chart("f1", f"Test {name}", comparison.f1, score, "score"),
        "loss": _chart("loss", "Test loss", comparison.loss, "Lower is better.", "number"),
    }


def _chart(key: str, title: str, curves: Sequence[Curve], remark: str, unit: str) -> Chart:
    length = max((len(curve.mean) for curve in curves), default=0)
    series = []
    for curve in curves:
        series.append(Series(curve.label, _filled(curve.mean, length)))
        if any(value is not None for value in curve.std):
            series.append(Series(f"± {curve.label}", _filled(curve.std, length)))
    caption = f"Of the global model in force after each round, on the test set. {remark}"
    x = tuple(range(1, length + 1))
    return Chart(key, title, caption, _sentence(title, curves, unit), "round", x, tuple(series), unit=unit)


def _filled(values: Sequence[float | None], length: int) -> tuple[float | None, ...]:
    return (*values, *[None] * (length - len(values)))


def _sentence(title: str, curves: Sequence[Curve], unit: str) -> str:
    """Name the entry that ends best."""
    ends = [(curve.mean[-1], curve.label) for curve in curves if curve.mean and curve.mean[-1] is not None]
    if not ends:
        return f"{title} is not known for any entry."
    best, label = (min if unit == "number" else max)(ends, key=lambda end: end[0] or 0.0)
    return f"{title} ends best with {label}: {best:.4f}."


def _drawn(chart: Chart, curves: Sequence[Curve]) -> dict[str, Json]:
    """Return what the page's script draws. Labels stand in lists, never as keys: they may be anything."""
    return {
        "key": chart.key,
        "title": chart.title,
        "unit": chart.unit,
        "x": chart.x,
        "curves": [{"name": curve.label, "mean": curve.mean, "std": curve.std} for curve in curves],
    }


def _lead(comparison: Comparison) -> str:
    done = len(comparison.runs) - len(comparison.unfinished)
    entries, seeds, rounds = len(comparison.entries), len(comparison.seeds), comparison.rounds
    return (
        f"{entries:,} {'entry' if entries == 1 else 'entries'}, each with {counted(seeds, 'seed')} and"
        f" {counted(rounds, 'round')}: {done:,} of {counted(len(comparison.runs), 'run')} completed."
    )


def _cards(comparison: Comparison) -> list[Card]:
    is_accuracy = comparison.words == LABELS
    finals = [(one.label, one.accuracy if is_accuracy else one.f1) for one in comparison.entries]
    known = [(found.mean, label, plus_minus(found)) for label, found in finals if found]
    _, label, best = max(known, key=lambda one: one[0], default=(0.0, "", NOTHING))
    cards = [Card(f"Best final {'accuracy' if is_accuracy else comparison.words.name}", best, label)]
    if comparison.target is not None:
        reached = [entry for entry in comparison.entries if entry.to_target]
        quick = min(reached, key=lambda entry: entry.to_target.mean if entry.to_target else 0.0, default=None)
        value = f"{quick.to_target.mean:.1f} rounds" if quick and quick.to_target else "never"
        cards.append(Card(f"Soonest at {comparison.target:g}", value, quick.label if quick else ""))
    failed = len(comparison.unfinished)
    done = f"{len(comparison.runs) - failed:,} / {len(comparison.runs):,}"
    cards.append(Card("Runs completed", done, f"{failed:,} failed or missing" if failed else "none failed"))
    seconds = sum(run.seconds for run in comparison.runs)
    cards.append(Card("Time on the chain", duration(seconds), "all runs together"))
    return cards


def _last(run: RunResult) -> str:
    accuracy = run.last.accuracy if run.last else None
    return NOTHING if accuracy is None else f"{accuracy:.4f}"

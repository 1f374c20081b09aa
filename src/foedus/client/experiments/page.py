"""The report of an experiment: one HTML page, the page of its comparison, pictures, and tables as CSV."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foedus import __version__
from foedus.client.compare import write_comparison
from foedus.client.compare.records import EntryResult, Stat, stat
from foedus.client.compare.tables import csv_text
from foedus.client.compare.words import NOTHING, plus_minus
from foedus.client.experiments.records import Findings, RunScores
from foedus.client.experiments.spec import Experiment
from foedus.client.report import write_file
from foedus.client.report.page import asset, environment, inlined
from foedus.client.report.words import duration

_PACKAGE: Final = "foedus.client.experiments"
PAGE: Final = "experiment.html"

CAPTIONS: Final = {
    "losses": (
        "Loss of each client's local model on its own validation examples, and of the global model on the "
        "test set; of at most five entries."
    ),
    "sharing": (
        "What the final global models reached on the test set, by the share of data that all clients have. A "
        "dot for each seed, a line through the means."
    ),
    "confusion": (
        "Confusion matrices of the final models on the test set, in shares of the true label; of five "
        "entries at most."
    ),
    "masks": (
        "The same test images seen by every client's last local model and by the global model: probability "
        "of the mask, and Seg-Grad-CAM."
    ),
    "fields": (
        "Second field now, its true change some frames ahead, the change that the global model predicts, and "
        "the error of that. Colours end at three standard deviations of the change in all test frames of the "
        "group."
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the table of results."""

    label: str
    runs: str
    accuracy: str
    score: str
    loss: str
    group_mean: str
    worst: str
    spread: str
    paper: str
    time: str


def write_report(experiment: Experiment, findings: Findings, folder: Path) -> list[Path]:
    """Write everything into a folder; return the paths, the page first."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        PAGE: render(experiment, findings).encode(),
        "results.csv": results_csv(experiment, findings).encode(),
        "groups.csv": groups_csv(findings).encode(),
        **findings.pictures,
    }
    for name, data in contents.items():
        write_file(folder / name, data)
    return [*(folder / name for name in contents), *write_comparison(findings.comparison, folder)]


def rows(experiment: Experiment, findings: Findings) -> list[Row]:
    """Return the table of results, an entry a row, with the paper's figure where it has one."""
    return [_row(experiment, findings, entry) for entry in findings.comparison.entries]


def _row(experiment: Experiment, findings: Findings, entry: EntryResult) -> Row:
    scores = [one for one in findings.scores if one.label == entry.label]
    paper = [f"{one.metric} {one.value:g}" for one in experiment.about.paper if one.label == entry.label]
    return Row(
        label=entry.label,
        runs=f"{entry.completed}/{entry.planned}",
        accuracy=_figure(entry.accuracy),
        score=_figure(entry.f1),
        loss=_figure(entry.loss),
        group_mean=_figure(_over(scores, "mean")),
        worst=_figure(_over(scores, "worst")),
        spread=_figure(_over(scores, "spread")),
        paper=", ".join(paper) or NOTHING,
        time=duration(round(entry.seconds.mean)) if entry.seconds else NOTHING,
    )


def _figure(found: Stat | None) -> str:
    return plus_minus(found).removesuffix(f" ± {NOTHING}")  # there is nothing to deviate from a single seed


def _over(scores: Sequence[RunScores], what: str) -> Stat | None:
    return stat([float(getattr(one, what)) for one in scores if one.groups])


def render(experiment: Experiment, findings: Findings) -> str:
    """Return the page."""
    comparison = findings.comparison
    page = environment(_PACKAGE, "foedus.client.report").get_template(PAGE)
    first = [one for one in findings.scores if one.seed == comparison.seeds[0]]
    return page.render(
        **inlined("", asset("foedus.client.compare", "comparison.css")),
        experiment=experiment,
        comparison=comparison,
        rows=rows(experiment, findings),
        tests=len({one.test for one in findings.scores}),
        groups=[group.group for group in first[0].groups] if first else [],
        first=first,
        pictures=[
            (CAPTIONS[name.split("-")[0].removesuffix(".png")], b64encode(data).decode())
            for name, data in findings.pictures.items()
        ],
        facts=findings.facts,
        foedus_version=__version__,
    )


def results_csv(experiment: Experiment, findings: Findings) -> str:
    """Return each run's final figures, a run a line."""
    heads = ("entry", "seed", "run", "score", "accuracy", "loss", "group_mean", "worst_group", "group_std")
    lines = [
        (
            one.label,
            one.seed,
            one.run,
            one.score,
            one.accuracy,
            one.loss,
            one.mean if one.groups else "",
            one.worst if one.groups else "",
            one.spread if one.groups else "",
        )
        for one in findings.scores
    ]
    papers = [
        (
            f"paper: {one.label}",
            *("", ""),
            *(one.value if one.metric == metric else "" for metric in ("f1", "accuracy", "loss")),
            *("", "", ""),
        )
        for one in experiment.about.paper
    ]
    return csv_text(heads, [*lines, *papers])


def groups_csv(findings: Findings) -> str:
    """Return the final scores group by group, and the clients' own, a line each."""
    lines: list[Sequence[object]] = []
    for one in findings.scores:
        lines += [(one.label, one.seed, "group", g.group, g.score, g.loss, g.examples) for g in one.groups]
        lines += [(one.label, one.seed, "client", c.client, c.score, c.loss, "") for c in one.clients]
    return csv_text(("entry", "seed", "of", "name", "score", "loss", "examples"), lines)

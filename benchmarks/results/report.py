"""What a result consists of, and how it is shown and written."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from rich.table import Table

from benchmarks.result import Line, Options

Row: TypeAlias = Mapping[str, str | int | float]
_STYLES = {"met": "green", "missed": "bold red"}


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one question, with everything needed to get them again."""

    name: str
    title: str
    data: str  # which examples, in words
    settings: Mapping[str, str]
    rows: Sequence[Row]  # all with the same keys
    targets: Sequence[Line]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)  # one figure per round
    curve_title: str = "test accuracy"

    def to_json(self) -> Mapping[str, object]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "data": self.data,
            "settings": dict(self.settings),
            "rows": [dict(row) for row in self.rows],
            "targets": [line.to_json() for line in self.targets],
            "curves": {name: [round(value, 6) for value in curve] for name, curve in self.curves.items()},
        }


Experiment: TypeAlias = Callable[[Options], Result]


def tables(result: Result) -> list[Table]:
    """Return the figures and the targets as tables."""
    figures = Table()
    for column in result.rows[0]:
        figures.add_column(column, justify="left" if isinstance(result.rows[0][column], str) else "right")
    for row in result.rows:
        figures.add_row(*(_cell(value) for value in row.values()))
    targets = Table("target", "measured", "wanted", "")
    for line in result.targets:
        assert line.target is not None
        sign = "≤" if line.target.sense == "most" else "≥"
        measured = "–" if line.value is None else f"{line.value:.4g} {line.unit}"
        style = _STYLES.get(line.verdict, "yellow")
        targets.add_row(line.what, measured, f"{sign} {line.target.limit:.4g}", f"[{style}]{line.verdict}[/]")
    return [figures, targets]


def write(result: Result, machine: Mapping[str, object], folder: Path) -> None:
    """Write NAME.json, NAME.csv and, where there are curves, NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(result, machine, folder / f"{result.name}.json")
    with (folder / f"{result.name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(result.rows[0]))
        writer.writeheader()
        writer.writerows(result.rows)
    if result.curves:
        _draw(result, folder / f"{result.name}.png")


def write_json(result: Result, machine: Mapping[str, object], path: Path) -> None:
    """Write everything there is about a result, and on which machine it came about."""
    path.write_text(json.dumps({**result.to_json(), "machine": dict(machine)}, indent=1) + "\n")


def _draw(result: Result, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes long to load, and only --out needs it

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in result.curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=name, linewidth=1)
    axes.set(xlabel="round", ylabel=result.curve_title, title=result.title)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def heading(result: Result) -> str:
    """Return title, data and settings, one a line."""
    settings = (f"{name}: {value}" for name, value in result.settings.items())
    return "\n".join([result.title, f"data: {result.data}", *settings])


def _cell(value: str | int | float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)

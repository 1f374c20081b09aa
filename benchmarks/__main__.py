"""`python -m benchmarks [--only NAME …] [--quick] [--rounds N] [--json FILE]`: run, and print a table.

The exit code is 0 when all benchmarks ran, whether targets were met or missed, and 1 when one could not run.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import BUSY_LOAD, Watch, describe, machine_line
from benchmarks.programs import ROOT
from benchmarks.result import Benchmark, CannotRun, Line, Options

NAMES = (
    "startup",
    "nano",
    "federation",
    "aggregation",
    "clients",
    "crowd",
    "matching",
    "algorithms",
    "robust",
    "jobs",
    "held",
    "store",
    "ledger",
    "platform",
    "endurance",
)
_WIDTH = 140  # of the table in a file
_STYLES = {"met": "green", "missed": "bold red", "not measured": "yellow"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One benchmark's lines, or why there are none."""

    name: str
    lines: list[Line]
    problem: str = ""
    others_cores: float = 0.0  # how many cores were busy with other work meanwhile


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    machine = describe()
    console.print(machine_line(machine), highlight=False)
    if float(str(machine["load"])) > BUSY_LOAD:
        console.print(f"[yellow]The machine is busy (load above {BUSY_LOAD}): figures are doubtful.[/]")
    options = Options(
        quick=asked.quick, rounds=asked.rounds, mnist=mnist_folder(), scratch=asked.scratch, say=_say
    )
    outcomes = [_run(name, options) for name in NAMES if name in (asked.only or NAMES)]
    console.print(_table(outcomes))
    if asked.quick:
        console.print("[yellow]--quick: these figures mean nothing.[/]")
    if asked.json:
        asked.json.write_text(json.dumps(_as_json(machine, asked.quick, outcomes), indent=1) + "\n")
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def mnist_folder() -> Path | None:
    """Return the folder of MNIST's idx files: `data/mnist` in FOEDUS_SHARED, else in `../shared`; or None."""
    folder = Path(os.environ.get("FOEDUS_SHARED") or ROOT.parent / "shared") / "data" / "mnist"
    return folder if any(folder.glob("train-images-idx3-ubyte*")) else None


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="only show that the code works")
    parser.add_argument("--rounds", type=int, default=1000, help="of the endurance benchmark (1000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="FOLDER",
        help="where temporary files go: 8 GB on a local disk, not in memory",
    )
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _run(name: str, options: Options) -> Outcome:
    _say(f"{name} …")
    benchmark: Benchmark = importlib.import_module(f"benchmarks.{name}").run
    watch = Watch.begin()
    try:
        lines = benchmark(options)
    except CannotRun as problem:
        return Outcome(name, [], str(problem))
    except Exception as error:
        traceback.print_exc()
        return Outcome(name, [], f"{type(error).__name__}: {error}")
    for line in lines:
        _say(f"{line.what}: {_measured(line)}")  # in case a later benchmark never ends
    missing = ", ".join(line.what for line in lines if line.value is None)
    return Outcome(name, lines, f"not measured: {missing}" if missing else "", watch.cores_of_others())


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("what", "measured", "target", "", "note")
    for outcome in outcomes:
        for line in outcome.lines:
            style = _STYLES.get(line.verdict, "")
            verdict = f"[{style}]{line.verdict}[/]" if style else ""
            table.add_row(line.what, _measured(line), _target(line), verdict, line.note)
        if outcome.problem:
            table.add_row(outcome.name, "–", "", "[yellow]could not run[/]", outcome.problem)
        busy = f"other programs kept {outcome.others_cores:.2f} cores busy"
        table.add_row(f"[dim]{outcome.name}[/]", "", "", "", f"[dim]{busy}[/]", end_section=True)
    return table


def _measured(line: Line) -> str:
    return "–" if line.value is None else f"{_number(line.value)} {line.unit}"


def _target(line: Line) -> str:
    if line.target is None:
        return ""
    return f"{'≤' if line.target.sense == 'most' else '≥'} {line.target.limit:g} {line.unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def _as_json(
    machine: Mapping[str, object], is_quick: bool, outcomes: Sequence[Outcome]
) -> Mapping[str, object]:
    return {
        "machine": machine,
        "quick": is_quick,
        "benchmarks": [
            {
                "name": outcome.name,
                "problem": outcome.problem,
                "cores_of_others": round(outcome.others_cores, 3),
                "lines": [line.to_json() for line in outcome.lines],
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # programs of ours end, too
    sys.exit(main(sys.argv[1:]))

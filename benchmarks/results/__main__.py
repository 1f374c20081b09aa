"""`python -m benchmarks.results NAME [--quick] [--json FILE] [--out FOLDER]`: run one result, and print it.

The exit code is 0 whether targets were met or missed, and 1 when it could not run.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.__main__ import mnist_folder
from benchmarks.machine import Watch, describe, machine_line
from benchmarks.result import CannotRun, Options
from benchmarks.results.report import Experiment, heading, tables, write, write_json
from foedus.learn.process import prepare_worker

NAMES = ("mcmahan", "prox_synthetic", "fedma_oneshot", "fedheal", "byzantine", "noniid1")
_WIDTH = 140  # of the table in a file


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="only show that the code works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write JSON, CSV and PNG to this folder")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    experiment: Experiment = importlib.import_module(f"benchmarks.results.{asked.name}").run
    machine = describe()
    console.print(machine_line(machine), highlight=False)
    watch, began = Watch.begin(), time.monotonic()
    try:
        result = experiment(Options(quick=asked.quick, mnist=mnist_folder(), say=_say))
    except CannotRun as problem:
        console.print(f"[yellow]could not run:[/] {problem}")
        return 1
    console.print(heading(result), highlight=False)
    for table in tables(result):
        console.print(table)
    console.print(
        f"{time.monotonic() - began:.0f} s; other programs kept {watch.cores_of_others():.2f} cores busy"
    )
    if asked.quick:
        console.print("[yellow]--quick: these figures mean nothing.[/]")
    if asked.json:
        write_json(result, machine, asked.json)
    if asked.out:
        write(result, machine, asked.out)
    return 0


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    prepare_worker()
    sys.exit(main(sys.argv[1:]))

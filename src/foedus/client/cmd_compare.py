"""The command that compares algorithms: compare."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.cmd_runs import RoundsOption, terminated_like_interrupted
from foedus.client.output import Format, print_json, print_pairs, print_table, say, warn
from foedus.client.shell import INTERRUPTED, DataOption, FormatOption, HomeOption, open_shell, program

if TYPE_CHECKING:
    from foedus.client.compare import CompareSpec, Comparison
    from foedus.client.shell import Shell


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Where page, pictures and tables go; else a folder in the home folder.",
        file_okay=False,
        show_default=False,
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option("--fresh", help="Run everything anew, or what --only names; runs that are there stay."),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="LABEL", help="This entry alone; give it several times for several."),
]


def compare(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC.toml", help="A run spec with seeds, and a table `compare` for each entry."
        ),
    ],
    home: HomeOption = None,
    rounds: RoundsOption = None,
    data: DataOption = None,
    folder: FolderOption = None,
    fresh: FreshOption = False,
    only: OnlyOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run several algorithms on the same data and seeds, and compare them on one page.

    Each entry runs once with every seed; with equal seeds, all meet the same partition and initial weights.
    Interrupt it as you like: the same command goes on with what is missing. A run that fails stops no other;
    if one did, the exit code is 1.

    \b
    Examples:
      foedus compare compare.toml
      foedus compare compare.toml --rounds 50 -o results
      foedus compare compare.toml --only FedProx --fresh
      foedus compare compare.toml --format json > result.json
    """
    from foedus.client.compare import write_comparison

    shell = open_shell(home, data)
    comparison = _carried_out(shell, spec, rounds, output, fresh=fresh, only=only or ())
    written = write_comparison(comparison, folder or comparison.folder)
    if output is Format.JSON:
        from dataclasses import asdict

        print_json(asdict(comparison))
    else:
        _print_results(comparison, written)
    _conclude(comparison, only or ())


def _carried_out(
    shell: "Shell", path: Path, rounds: int | None, output: Format, *, fresh: bool, only: Sequence[str]
) -> "Comparison":
    """Run the comparison under the eyes of the user. With JSON, progress goes to standard error."""
    from foedus.client.compare import load_compare_spec, run_comparison
    from foedus.client.compare.progress import show_comparison
    from foedus.client.compare.spec import compare_for_this_machine

    spec = compare_for_this_machine(load_compare_spec(path), shell.settings, rounds)
    (say if output is Format.TABLE else warn)(_announcement(spec, shell, spec.chosen(only)))
    stream = sys.stdout if output is Format.TABLE else sys.stderr
    try:
        with terminated_like_interrupted(), show_comparison(stream) as observer:
            return run_comparison(shell.home, spec, observer, fresh=fresh, only=only)
    except KeyboardInterrupt as error:
        warn(f"interrupted; go on with: {_same_command(path, shell, rounds, only)}")
        raise typer.Exit(INTERRUPTED) from error


def _announcement(spec: "CompareSpec", shell: "Shell", labels: Collection[str]) -> str:
    from foedus.client.report.words import counted

    entries = "1 entry" if len(labels) == 1 else f"{len(labels)} entries"
    each = f"{counted(len(spec.seeds), 'seed')} and {counted(spec.rounds, 'round')}"
    return f"comparison {spec.name} in {shell.home.root}: {entries}, each with {each}"


def _same_command(path: Path, shell: "Shell", rounds: int | None, only: Sequence[str]) -> str:
    """Return the command that goes on; without --fresh, which would begin again."""
    import shlex

    words = [program(), "compare", shlex.quote(str(path))]
    if rounds is not None:
        words += ["--rounds", str(rounds)]
    if shell.settings.origin.get("data") == "command line":
        words += ["--data", shlex.quote(str(shell.settings.data))]
    words += [f"--only {shlex.quote(label)}" for label in only]
    return " ".join(words) + shell.home_option


def _print_results(comparison: "Comparison", written: list[Path]) -> None:
    from foedus.client.compare.words import BEST, COUNTED, DEVIATION, OUTCOMES, table

    titles, rows = table(comparison)
    say("")
    marked = [[f"{cell.text}{BEST}" if cell.is_best else cell.text for cell in row] for row in rows]
    split = titles.index(OUTCOMES)
    print_table(titles[:split], [row[:split] for row in marked], right=titles[1:])
    say("")
    costs = [titles[0], *titles[split:]]
    print_table(costs, [[row[0], *row[split:]] for row in marked], right=costs[1:])
    say(f"{BEST} best of its column. {DEVIATION}", "dim")
    say(COUNTED, "dim")
    for difference in comparison.differences:
        say(f"Not on equal terms: {difference}", "yellow")
    say("")
    print_pairs(
        [("page", written[0]), ("picture", written[1]), ("rounds", written[2]), ("table", written[3])]
    )


def _conclude(comparison: "Comparison", only: Sequence[str]) -> None:
    """Name the runs that failed, of these entries if any is named; exit with 1 if there are any."""
    failed = [run for run in comparison.unfinished if not only or run.label in only]
    for run in failed:
        warn(f"failed: {run.label}, seed {run.seed} ({run.run or 'no run'}): {run.reason}")
    if failed:
        raise typer.Exit(1)

"""The commands about experiments: list, run, report."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.cmd_compare import FolderOption, FreshOption, OnlyOption
from foedus.client.cmd_runs import RoundsOption, terminated_like_interrupted
from foedus.client.output import Format, print_json, print_pairs, print_table, say, warn
from foedus.client.shell import INTERRUPTED, FormatOption, HomeOption, open_shell, program

if TYPE_CHECKING:
    from foedus.client.experiments.spec import Experiment
    from foedus.client.shell import Shell

app = typer.Typer(help="The paper's experiments, and what they look like done right.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="See `foedus experiment list`.")]
FastOption = Annotated[bool, typer.Option("--fast", help="Fewer rounds; nothing else is left out.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder with the data: see docs/how-to/write-a-spec.md. Simulations need none.",
        show_default=False,
    ),
]


@app.command("list")
def list_(output: FormatOption = Format.TABLE) -> None:
    """List the experiments with what they need.

    \b
    Examples:
      foedus experiment list
    """
    from foedus.client.experiments.spec import experiment_names, load_experiment

    found = [load_experiment(name) for name in experiment_names()]
    if output is Format.JSON:
        print_json([_as_json(one) for one in found])
        return
    titles = ("experiment", "what", "data", "rounds", "runs")
    rows = [
        (one.name, one.about.title, one.about.data, one.comparison.rounds, len(one.comparison.runs))
        for one in found
    ]
    print_table(titles, rows, right=titles[3:])


@app.command()
def run(
    name: NameArgument,
    home: HomeOption = None,
    data: DataOption = None,
    fast: FastOption = False,
    rounds: RoundsOption = None,
    folder: FolderOption = None,
    fresh: FreshOption = False,
    only: OnlyOption = None,
) -> None:
    """Carry an experiment out and write its report.

    Every entry is a federation of its own, with chain, store and votes. Interrupt it as you like, or kill it:
    the same command goes on with what is missing. If a run failed, the exit code is 1.

    \b
    Examples:
      foedus experiment run surrogate-grayscott
      foedus experiment run lungs-unet --data /data/lungs
      foedus experiment run mnist-noniid --fast
      foedus experiment run mnist-noniid --only "Non-IID(1)"
    """
    from foedus.client.compare.progress import show_comparison
    from foedus.client.experiments.carry import carry_out

    shell, experiment = open_shell(home, data), _experiment(name, fast, rounds)
    spec, labels = experiment.comparison, experiment.comparison.chosen(only or ())
    count = sum(one.label in labels for one in spec.runs)
    runs = "1 run" if count == 1 else f"{count} runs"
    say(f"experiment {name} in {shell.home.root}: {runs} of {spec.rounds} rounds")
    again = f"{program()} experiment run " + shlex.join(_arguments(name, data, fast, rounds))
    try:
        with terminated_like_interrupted(), show_comparison(sys.stdout) as observer:
            comparison = carry_out(experiment, shell.home, shell.settings, observer, fresh=fresh, only=labels)
    except KeyboardInterrupt as error:
        rest = [
            *(["-o", str(folder)] if folder else []),
            *(w for label in only or () for w in ("--only", label)),
        ]
        more = f" {shlex.join(rest)}" if rest else ""
        warn(f"interrupted; go on with: {again}{more}{shell.home_option}")
        raise typer.Exit(INTERRUPTED) from error
    _report(experiment, shell, folder, again)
    failed = [one for one in comparison.unfinished if one.label in labels]
    for one in failed:
        warn(f"failed: {one.label}, seed {one.seed} ({one.run or 'no run'}): {one.reason}")
    if failed:
        raise typer.Exit(1)


@app.command()
def report(
    name: NameArgument,
    home: HomeOption = None,
    fast: FastOption = False,
    rounds: RoundsOption = None,
    folder: FolderOption = None,
) -> None:
    """Write the report of the runs that are complete, also while others go on.

    \b
    Examples:
      foedus experiment report lungs-unet
      foedus experiment report mnist-noniid --fast -o results
    """
    from foedus.client.experiments.carry import data_folder

    shell, experiment = open_shell(home, None), _experiment(name, fast, rounds)
    arguments = _arguments(name, data_folder(experiment, shell.home), fast, rounds)
    again = f"{program()} experiment run {shlex.join(arguments)}"
    _report(experiment, shell, folder, again)


def _arguments(name: str, data: Path | None, fast: bool, rounds: int | None) -> list[str]:
    """Return the arguments that make `run` go on with the same runs."""
    found = [name, *(["--data", str(data)] if data else []), *(["--fast"] if fast else [])]
    return found + (["--rounds", str(rounds)] if rounds else [])


def _experiment(name: str, fast: bool, rounds: int | None) -> "Experiment":
    from foedus.client.experiments.spec import load_experiment

    experiment = load_experiment(name)
    wanted = rounds or (experiment.about.fast_rounds if fast else experiment.comparison.rounds)
    return experiment.with_rounds(wanted)


def _report(experiment: "Experiment", shell: "Shell", folder: Path | None, command: str) -> None:
    from foedus.client.experiments.carry import look_at, results_folder
    from foedus.client.experiments.page import rows, write_report

    findings = look_at(experiment, shell.home, command + shell.home_option)
    written = write_report(experiment, findings, folder or results_folder(experiment, shell.home))
    titles = ("entry", "accuracy", findings.comparison.words.name, "loss", "worst group", "paper")
    print_table(
        titles,
        [(r.label, r.accuracy, r.score, r.loss, r.worst, r.paper) for r in rows(experiment, findings)],
        right=titles[1:],
    )
    say("")
    print_pairs([("page", written[0]), ("folder", written[0].parent)])


def _as_json(one: "Experiment") -> dict[str, object]:
    return {
        "name": one.name,
        "title": one.about.title,
        "about": one.about.about.strip(),
        "data": one.about.data,
        "rounds": one.comparison.rounds,
        "entries": list(one.comparison.labels),
        "seeds": list(one.comparison.seeds),
    }

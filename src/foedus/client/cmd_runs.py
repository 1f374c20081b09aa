"""The commands that make a run go on: demo, run, resume."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, say, seconds_text, warn
from foedus.client.shell import (
    INTERRUPTED,
    DataOption,
    FormatOption,
    HomeOption,
    LauncherOption,
    RunArgument,
    Shell,
    open_shell,
    program,
)

if TYPE_CHECKING:
    from foedus.client.status import RunStatus
    from foedus.rounds.backend import Backend
    from foedus.rounds.home import Home
    from foedus.rounds.progress import Observer
    from foedus.rounds.spec import RunSpec

DEMO_HOME = Path("foedus-demo")
_LOWER_RATE = "A lower training.learning_rate often helps"
_SHOWN_REASONS = 5

RoundsOption = Annotated[
    int | None,
    typer.Option(
        "--rounds", metavar="N", min=1, help="Rounds, instead of those in the spec.", show_default=False
    ),
]


def demo(
    home: Annotated[
        Path, typer.Option("--home", metavar="FOLDER", help="Home folder of the demo.")
    ] = DEMO_HOME,
    rounds: RoundsOption = None,
    data: DataOption = None,
) -> None:
    """Train a model on real images with three clients, in less than a minute.

    Each client holds half of the digits of 5,000 MNIST images. Nothing has to be set up: chain, store and
    keys are made in the home folder.

    \b
    Examples:
      foedus demo
      foedus demo --rounds 3 --home /tmp/demo
      foedus demo --data my-mnist-folder
    """
    from foedus.site.specs import DEMO

    shell = open_shell(home, data or _fetched_before())
    status = _new_run(shell, _load(DEMO, shell, rounds), Format.TABLE)
    _print_end(shell, status)
    _print_next(shell, status)
    _conclude(shell, status, say)


def run(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC.toml", help="The run spec; see `foedus config check`.")
    ],
    home: HomeOption = None,
    rounds: RoundsOption = None,
    data: DataOption = None,
    launcher: LauncherOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run a federation from a spec file.

    Interrupt it as you like: `foedus resume` goes on where it stood.

    \b
    Examples:
      foedus run mnist.toml
      foedus run mnist.toml --rounds 50 --format json > result.json
      foedus run mnist.toml --launcher slurm
    """
    shell = open_shell(home, data, launcher)
    status = _new_run(shell, _load(spec, shell, rounds), output)
    _finish(shell, status, output)


def resume(
    run: RunArgument,
    home: HomeOption = None,
    launcher: LauncherOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Go on with a run that was interrupted.

    Nothing that was finished is done again, however the process ended.

    \b
    Examples:
      foedus resume mnist-1
    """
    from foedus.client.status import run_status

    shell = open_shell(home, launcher=launcher)
    status = run_status(shell.home, run)
    if not status.has_ended:
        from foedus.client.drive import drive
        from foedus.client.elsewhere import note_ends

        note_ends(shell, [run])
        status = _drive(shell, run, output, drive)
    _finish(shell, status, output)


def _load(path: Path, shell: Shell, rounds: int | None) -> "RunSpec":
    from foedus.rounds.spec import load_spec
    from foedus.site.specs import for_this_machine

    return for_this_machine(load_spec(path), shell.settings, rounds)


def _fetched_before() -> Path | None:
    """Return where `foedus data fetch mnist` has put all images, if it has: the demo's home is a new one."""
    folder = open_shell(None).home.data / "mnist"
    return folder if folder.is_dir() else None


def _new_run(shell: Shell, spec: "RunSpec", output: Format) -> "RunStatus":
    from foedus.client.drive import drive_new
    from foedus.rounds.runs import create_run
    from foedus.site.specs import notes_on

    notes = notes_on(spec)
    name = create_run(shell.home, spec)
    out = say if output is Format.TABLE else warn
    out(f"run {name} in {shell.home.root}: {spec.rounds} rounds, {spec.partition.clients} clients")
    for note in notes:
        out(note)
    return _drive(shell, name, output, drive_new)


def _drive(
    shell: Shell, name: str, output: Format, drive: "Callable[[Home, str, Observer, Backend], None]"
) -> "RunStatus":
    """Drive a run under the eyes of the user. With JSON, progress goes to standard error."""
    from foedus.client.progress import show_progress
    from foedus.client.status import run_status
    from foedus.site.launchers import backend_of, outlives_us

    backend = backend_of(shell.settings)
    stream = sys.stdout if output is Format.TABLE else sys.stderr
    try:
        with terminated_like_interrupted(), show_progress(run_status(shell.home, name), stream) as observer:
            drive(shell.home, name, observer, backend)
    except KeyboardInterrupt as error:
        warn(f"interrupted; go on with: {program()} resume {name}{shell.home_option}")
        if outlives_us(shell.settings) and shell.settings.allocation == "per-task":
            cancel = f"{program()} job cancel --run {name}{shell.home_option}"
            warn(f"its batch jobs go on; end them with: {cancel}")
        raise typer.Exit(INTERRUPTED) from error
    return run_status(shell.home, name)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM, which batch systems send first, end a run in the same orderly way as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(shell: Shell, status: "RunStatus", output: Format) -> None:
    if output is Format.JSON:
        from dataclasses import asdict

        print_json(asdict(status))
        _conclude(shell, status, warn)
        return
    _print_end(shell, status)
    print_pairs(_commands(shell, status, "report", "verify"))
    _conclude(shell, status, say)


def _print_end(shell: Shell, status: "RunStatus") -> None:
    accuracy = "not known" if status.accuracy is None else f"{status.accuracy:.3f}"
    score = "not known" if status.f1 is None else f"{status.f1:.3f}"
    took = seconds_text((status.changed_at or 0) - (status.started_at or 0))
    say("")
    say(f"{status.name}: {status.in_words} after {len(status.history)} rounds, {took}", "bold")
    pairs = [
        ("test accuracy", accuracy),
        (f"test {status.score_name}", score),
        ("version", status.version),
        ("model", status.model),
    ]
    print_pairs(pairs)


def _print_next(shell: Shell, status: "RunStatus") -> None:
    from foedus.client.report import write_report

    report = write_report(shell.home, status.name)
    print_pairs([("report", report), *_commands(shell, status, "verify")])
    if status.version == 0:
        return
    say("")
    say("keep the model:", "dim")
    say(f"  {program()} model pull {status.model} -o model.safetensors{shell.home_option}")


def _conclude(shell: Shell, status: "RunStatus", out: Callable[[str], None]) -> None:
    """Say plainly when no round, or not the last one, was accepted; exit with 1 when there is no model."""
    last = status.history[-1] if status.history else None
    if status.version > 0 and (last is None or last.outcome == "accepted"):
        return
    out("")
    if status.version == 0:
        out("No round was accepted: the model is still version 0, which nobody has trained.")
    elif last is not None:
        out(f"The last round was not accepted but {last.outcome}: the model is version {status.version}.")
    if last is not None:
        for client, reason in list(last.declined.items())[:_SHOWN_REASONS]:
            out(f"  {client} declined in round {last.round}: {reason}")
        if last.outcome == "rejected":
            out(f"  round {last.round} was rejected, {last.votes['yes']} yes and {last.votes['no']} no")
    out(f"Look at the reasons in the report: {program()} report {status.name}{shell.home_option}")
    if last is not None and (advice := _advice(last.outcome, list(last.declined.values()))):
        out(advice)
    if status.version == 0:
        raise typer.Exit(1)


def _advice(outcome: str, reasons: list[str]) -> str:
    """Say what often helps against how a round ended, where that is known."""
    if outcome == "rejected" or any(reason.startswith("gate") for reason in reasons):
        return f"{_LOWER_RATE}, or laxer policy.beta (gate) or policy.epsilon (ballot)."
    return f"{_LOWER_RATE}." if any("diverged" in reason for reason in reasons) else ""


def _commands(shell: Shell, status: "RunStatus", *names: str) -> list[tuple[str, str]]:
    return [(name, f"{program()} {name} {status.name}{shell.home_option}") for name in names]

"""The commands that look at runs: status, verify, report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import (
    Format,
    console,
    print_json,
    print_pairs,
    print_table,
    say,
    seconds_text,
    time_text,
)
from foedus.client.shell import FormatOption, HomeOption, RunArgument, Shell, open_shell, program

if TYPE_CHECKING:
    from foedus.client.status import RoundStatus, RunStatus
    from foedus.rounds.verify import VerifySummary

_STAGES = {"chain": "blocks executed again", "store": "objects hashed", "merges": "rounds merged again"}


def status(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Name of a run; all runs without it.", show_default=False),
    ] = None,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show where runs stand, also while another process works on them.

    \b
    Examples:
      foedus status
      foedus status mnist-1
      foedus status mnist-1 --format json
    """
    from dataclasses import asdict

    from foedus.client.status import all_statuses, run_status

    shell = open_shell(home)
    if run is not None:
        found = run_status(shell.home, run)
        print_json(asdict(found)) if output is Format.JSON else _print_run(shell, found)
        return
    listed = all_statuses(shell.home)
    if output is Format.JSON:
        print_json([asdict(one) for one in listed])
    else:
        _print_runs(shell, listed)


def verify(run: RunArgument, home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Check a run from the chain and the store alone.

    Executes the chain again, hashes every object, applies the rules of gate, reward and ballot once more, and
    merges every accepted version again, to the byte. Exits with 3, naming the place, if anything is wrong.

    \b
    Examples:
      foedus verify mnist-1
    """
    from dataclasses import asdict

    from foedus.rounds.verify import verify_run

    shell = open_shell(home)
    shell.home.run_folder(run)
    with _bars(output) as watch:
        found = verify_run(shell.home, run, watch)
    if output is Format.JSON:
        print_json({**asdict(found), "verified": True})
    else:
        _print_verified(found)


def report(run: RunArgument, home: HomeOption = None) -> None:
    """Write the report of a run: one HTML page with curves, rounds, rewards and lineage.

    \b
    Examples:
      foedus report mnist-1
    """
    from foedus.client.report import write_report

    shell = open_shell(home)
    shell.home.run_folder(run)
    say(str(write_report(shell.home, run)))


def _print_runs(shell: Shell, listed: "list[RunStatus]") -> None:
    from foedus.client.status import DAMAGED

    if not listed:
        say(f"no runs in {shell.home.root} yet")
        say("start one: foedus demo, or foedus run SPEC.toml", "dim")
        return
    rows = [
        (
            one.name,
            one.in_words,
            f"{len(one.history)}/{one.rounds or '?'}",
            one.version,
            _score(one.accuracy),
            _score(one.f1, one.score_name),
        )
        for one in listed
    ]
    columns = ("run", "state", "rounds", "version", "test accuracy", "test score")
    print_table(columns, rows, right=columns[2:])
    for one in listed:
        if one.state == DAMAGED:
            say(f"what is wrong with {one.name}: foedus status {one.name}{shell.home_option}", "dim")


def _print_run(shell: Shell, found: "RunStatus") -> None:
    pairs: list[tuple[str, object]] = [
        ("run", found.name),
        ("state", found.in_words),
        ("rounds", f"{len(found.history)} of {found.rounds}"),
        ("version", found.version),
        ("model", found.model or "none yet"),
        ("test accuracy", _score(found.accuracy)),
        (f"test {found.score_name}", _score(found.f1)),
    ]
    if found.started_at is not None and found.changed_at is not None:
        took = seconds_text(found.changed_at - found.started_at)
        pairs.append(("started", f"{time_text(found.started_at)} UTC; last block {took} later"))
    print_pairs(pairs)
    rounds = [*found.history, *([found.under_way] if found.under_way else [])]
    if rounds:
        say("")
        local = f"local {found.score_name}"
        columns = ("round", "outcome", "version", "updates", "votes", local, "accuracy", "declined")
        used = len(columns) if any(one.declined for one in rounds) else len(columns) - 1
        rows = (_round_row(one)[:used] for one in rounds)
        print_table(columns[:used], rows, right=("round", "version", "accuracy"))
    if not found.has_ended and found.state != "running":
        say(f"go on with: {program()} resume {found.name}{shell.home_option}", "dim")


def _round_row(one: "RoundStatus") -> tuple[object, ...]:
    declined = ", ".join(f"{name} ({reason})" for name, reason in one.declined.items())
    votes = ", ".join(f"{count} {choice}" for choice, count in one.votes.items() if count)
    local = " ".join(f"{score:.3f}" for score in list(one.local_f1.values())[:8])
    updates = f"{len(one.local_f1)}/{one.clients}"
    return one.round, one.outcome, one.version, updates, votes, local, _score(one.test_accuracy), declined


def _score(value: float | None, name: str = "") -> str:
    return "-" if value is None else f"{name} {value:.3f}".strip()


def _print_verified(found: "VerifySummary") -> None:
    progress = (
        "" if found.state == "completed" else f" so far, {found.rounds} of {found.rounds_planned} rounds"
    )
    say(f"run {found.run} is verified{progress}", "bold green")
    print_pairs(
        [
            ("chain", f"{found.blocks} blocks, {found.transactions} transactions executed again"),
            ("store", f"{found.objects} objects hashed"),
            ("rules", f"{found.updates} updates passed the gate, {found.votes} votes counted"),
            ("merges", f"{found.rounds} rounds checked, every accepted version merged again"),
            ("version", f"{found.version}, {found.current}"),
            ("head", f"{found.head}: note it, to notice later that blocks were cut off"),
        ]
    )


@contextmanager
def _bars(output: Format) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far the verification is: a bar for each stage in a terminal, nothing elsewhere."""
    out = console()
    if output is Format.JSON or not out.is_terminal:
        yield lambda what, done, total: None
        return
    from rich.progress import Progress, TaskID

    with Progress(console=out, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(_STAGES.get(what, what), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield watch

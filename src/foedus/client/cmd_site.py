"""The command about the configured cluster: site check."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, console, one_line, print_json, printable, say
from foedus.client.shell import FormatOption, HomeOption, LauncherOption, open_shell

if TYPE_CHECKING:
    from foedus.client.site_words import Finding

app = typer.Typer(help="Try out the cluster that config.toml describes.", no_args_is_help=True)

_LONGEST_NAME = 12


@app.callback()
def group() -> None:
    """Keep `check` a command of its own: with a single one, Typer would make the group that command."""


@app.command()
def check(
    application: Annotated[
        str,
        typer.Option(metavar="NAME", help="Ask for what batch jobs of this application ask for."),
    ] = "FL_TRAIN",
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=10, help="Give up after so long.")
    ] = 120.0,
    launcher: LauncherOption = None,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Try out the configured cluster: run a tiny batch job, compare what it sees, cancel another one.

    Then it submits, and cancels, what asks for all that runs will ask for: time limits, partitions and so on.
    Says in words what is wrong and what to do, and exits with 1 if anything is. Leaves nothing behind.

    \b
    Examples:
      foedus site check
      foedus site check --application SIM_REACTION_DIFFUSION --timeout 600
    """
    from dataclasses import asdict

    from foedus.client.site_check import check_site

    shell = open_shell(home, launcher=launcher)
    found: list[Finding] = []
    with _doing(output) as tell:
        for finding in check_site(shell.settings, application, timeout_s, tell):
            found.append(finding)
            if output is not Format.JSON:
                _print(finding)
    is_ok = all(finding.is_ok for finding in found)
    if output is Format.JSON:
        print_json(
            {"is_ok": is_ok, "launcher": shell.settings.launcher, "found": [asdict(one) for one in found]}
        )
    elif is_ok:
        say("all is well", "bold green")
    if not is_ok:
        raise typer.Exit(1)


def _print(finding: "Finding") -> None:
    out = console()
    mark, style = ("✓", "green") if finding.is_ok else ("✗", "bold red")
    out.print(mark, style=style, end=" ")
    first, *more = finding.words.splitlines() or [""]
    out.print(f"{finding.name:<{_LONGEST_NAME}} {one_line(first)}", markup=False, soft_wrap=True)
    for line in more:
        out.print(f"    {printable(line)}", style="dim", markup=False, soft_wrap=True)
    if finding.advice:
        out.print(f"  {one_line(finding.advice)}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def _doing(output: Format) -> Iterator[Callable[[str], None]]:
    """Show what is being done, beside a spinner; nothing of it where no person looks on."""
    out = console()
    if output is Format.JSON or not out.is_terminal or out.is_dumb_terminal:
        yield lambda doing: None
        return
    with out.status("") as status:
        yield lambda doing: status.update(one_line(doing))

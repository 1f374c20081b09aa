"""The commands about batch jobs: job list, show, log, cancel."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say
from foedus.client.shell import FormatOption, HomeOption, open_shell
from foedus.core.errors import FoedusError, InvalidSpec

if TYPE_CHECKING:
    from foedus.client.batch_jobs import BatchJob
    from foedus.client.shell import Shell

app = typer.Typer(help="Look at batch jobs, and cancel them.", no_args_is_help=True)

_LIMIT = 50
_FOLLOW_S = 0.5
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name of the batch job, or its beginning.")]


@app.command("list")
def list_jobs(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="Only those that are so: running, failed …")
    ] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only those of this run.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All of them, not just the last 50.")] = False,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List batch jobs, the one that changed last first.

    \b
    Examples:
      foedus job list
      foedus job list --run mnist-1 --state failed
    """
    from foedus.client.batch_jobs import batch_jobs
    from foedus.core.records import JobState

    shell = open_shell(home)
    if state and state not in list(JobState):
        raise InvalidSpec(f"there is no state {state!r}", f"States: {', '.join(JobState)}.")
    found = [job for job in batch_jobs(shell.home) if not state or job.state == state]
    found = [job for job in found if not run or job.name.startswith(f"{run}/")]
    shown = found if every else found[:_LIMIT]
    if output is Format.JSON:
        print_json([job.to_json() for job in shown])
        return
    rows = [
        (job.name, job.application, job.state, job.scheduler_id, job.attempt, _first(job.cause))
        for job in shown
    ]
    print_table(
        ("batch job", "application", "state", "native id", "attempt", "cause"), rows, right=("attempt",)
    )
    if len(shown) < len(found):
        say(f"and {len(found) - len(shown):,} more: --all", "dim")


@app.command()
def show(job: JobArgument, home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show what is known of a batch job.

    \b
    Examples:
      foedus job show mnist-1/r00001.1/client-1.train
      foedus job show sim_reaction_diffusion-1
    """
    from foedus.client.batch_jobs import find_batch_job

    found = find_batch_job(open_shell(home).home, job)
    ended = found.folder.read_exit() or {}
    if output is Format.JSON:
        print_json({**found.to_json(), "exit": ended})
        return
    node = [("node", ended["host"]), ("peak memory", f"{ended['peak_mb']} MB")] if "peak_mb" in ended else []
    pairs = [
        ("batch job", found.name),
        ("application", found.application),
        ("state", found.state),
        ("cause", found.cause),
        ("native id", found.scheduler_id),
        ("native state", found.scheduler_state),
        ("attempt", found.attempt),
        *node,
        ("folder", found.folder.path),
    ]
    print_pairs([(name, value) for name, value in pairs if value != ""])


@app.command()
def log(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    home: HomeOption = None,
) -> None:
    """Print what a batch job has printed (the last 64 KiB of it).

    \b
    Examples:
      foedus job log -f sim_reaction_diffusion-1
    """
    from foedus.client.batch_jobs import find_batch_job

    shell = open_shell(home)
    found = find_batch_job(shell.home, job)
    shown = _print_new(found, "")
    while follow and not found.state.is_final:
        time.sleep(_FOLLOW_S)
        found = find_batch_job(shell.home, found.name)
        shown = _print_new(found, shown)


@app.command()
def cancel(job: JobArgument, home: HomeOption = None) -> None:
    """Cancel a batch job that runs on the cluster, or waits there.

    \b
    Examples:
      foedus job cancel mnist-1/r00001.1/client-1.train
    """
    from foedus.client.batch_jobs import find_batch_job

    shell = open_shell(home)
    found = find_batch_job(shell.home, job)
    if found.state.is_final:
        say(f"{found.name} has ended: it is {found.state}")
        return
    _cancel(shell, found)
    say(f"{found.name} is being cancelled")


def _cancel(shell: "Shell", job: "BatchJob") -> None:
    from foedus.client.launchers import outlives_us, scheduler_of
    from foedus.launch.cluster.journal import Journal

    journal = Journal.read(job.folder)
    if journal is None:
        raise FoedusError(
            f"{job.name} runs in a worker of another command", "Interrupt that command with Ctrl-C instead."
        )
    if not outlives_us(shell.settings):
        raise InvalidSpec(
            f"{job.name} is on a cluster, but the launcher is local",
            "Set launcher in config.toml, or FOEDUS_LAUNCHER.",
        )
    scheduler_of(shell.settings).cancel(journal.full_name, journal.scheduler_id)


def _print_new(job: "BatchJob", shown: str) -> str:
    """Print what was added to the log since; return what is shown by then."""
    text = job.folder.read_log()
    new = text[len(shown) :] if text.startswith(shown) else text
    sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in new))
    sys.stdout.flush()
    return text


def _first(text: str) -> str:
    return text.partition("\n")[0]

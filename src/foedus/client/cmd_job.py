"""The commands about batch jobs: job list, show, log, cancel."""

import codecs
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import (
    Format,
    print_csv,
    print_json,
    print_pairs,
    say,
    warn,
)
from foedus.client.shell import INTERRUPTED, FormatOption, HomeOption, open_shell
from foedus.core.errors import InvalidSpec

if TYPE_CHECKING:
    from foedus.client.shell import Shell
    from foedus.site.batch_jobs import BatchJob

app = typer.Typer(help="Look at batch jobs, and cancel them.", no_args_is_help=True)

_LIMIT = 50
_FOLLOW_S = 0.5
_ASK_S = 10.0  # between two questions to the cluster, by whoever follows a log
_FROM_END = -(64 << 10)
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name of the batch job, or its beginning.")]


class ListFormat(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command("list")
def list_jobs(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="Only those that are so: running, failed …")
    ] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only those of this run.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All of them, not just the last 50.")] = False,
    home: HomeOption = None,
    output: Annotated[
        ListFormat, typer.Option("--format", help="Table for people, JSON or CSV for programs.")
    ] = ListFormat.TABLE,
) -> None:
    """List batch jobs, the one that changed last first.

    The cluster is asked once about those that have not ended. Where it cannot be asked, or does not answer,
    states are those that were noted last, with the time of that, and durations end there.

    \b
    Examples:
      foedus job list
      foedus job list --run mnist-1 --state failed
      foedus job list --all --format csv > jobs.csv
    """
    from foedus.client.job_words import CSV_COLUMNS, csv_row, print_list
    from foedus.client.looking import current_jobs
    from foedus.core.records import JobState

    shell = open_shell(home)
    if run:
        shell.home.run_folder(run)
    if state and state not in list(JobState):
        raise InvalidSpec(f"there is no state {state!r}", f"States: {', '.join(JobState)}.")
    known, trouble = current_jobs(shell)
    found = [job for job in known if not state or job.state == state]
    found = [job for job in found if not run or job.name.startswith(f"{run}/")]
    _warn(trouble)
    shown = found if every else found[:_LIMIT]
    if output is ListFormat.JSON:
        print_json([job.to_json() for job in shown])
    elif output is ListFormat.CSV:
        print_csv(CSV_COLUMNS, map(csv_row, shown))
    elif not shown:
        say(_nothing(shell, state, run))
    else:
        print_list(shown, known)
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
    from foedus.client.job_words import duration, state_text, values_text
    from foedus.client.looking import current_job
    from foedus.site.ends import exit_report

    found, trouble = current_job(open_shell(home), job)
    ended = exit_report(found.folder, found.journal)
    _warn(trouble)
    if output is Format.JSON:
        print_json({**found.to_json(), "exit": ended})
        return
    pairs = [
        ("batch job", found.name),
        ("application", found.application),
        ("client", found.client),
        ("parameters", values_text(found.parameters, found.parameters)),
        ("dataset", found.dataset),
        ("state", state_text(found)),
        ("cause", found.cause),
        ("native id", found.scheduler_id),
        ("native state", found.scheduler_state),
        ("attempt", found.attempt),
        ("asked for", _asked(found)),
        ("queued", duration(found.queued_s)),
        ("running", duration(found.running_s)),
        ("node", found.node),
        ("peak memory", f"{ended['peak_mb']} MB" if "peak_mb" in ended else ""),
        ("folder", found.folder.path),
    ]
    print_pairs([(name, value) for name, value in pairs if value != ""])


@app.command()
def log(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    home: HomeOption = None,
) -> None:
    """Print what a batch job has printed (the last 64 KiB of it), of all its attempts.

    \b
    Examples:
      foedus job log -f sim_reaction_diffusion-1
    """
    from foedus.site.batch_jobs import find_batch_job

    shell = open_shell(home)
    found = find_batch_job(shell.home, job)
    try:
        offset = _print_log(shell, found, follow)
    except KeyboardInterrupt:  # whoever follows a log ends it like that
        raise typer.Exit(INTERRUPTED) from None
    if not offset and not follow:
        _print(_other_output(shell, found))


@app.command()
def cancel(
    job: Annotated[
        str | None,
        typer.Argument(metavar="JOB", help="Name of the batch job, or its beginning.", show_default=False),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="All batch jobs of this run.", show_default=False),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Cancel a batch job that runs on the cluster, or waits there; or all of a run.

    It goes by the cluster itself, so any process may do it, also while another one drives the run. One that
    has ended by itself is left as it is. A run that is being driven goes on with other batch jobs: interrupt
    that command first.

    \b
    Examples:
      foedus job cancel mnist-1/r00001.1/client-1.train
      foedus job cancel --run mnist-1
    """
    from foedus.client.cancelling import cancel_job, cancel_run
    from foedus.site.batch_jobs import find_batch_job

    if (job is None) == (run is None):
        raise InvalidSpec("name either a batch job or a run", "A run is named by --run RUN.")
    shell = open_shell(home)
    if run is not None:
        for words in cancel_run(shell, run) or [f"the cluster has no batch job of {run}"]:
            say(words)
        return
    assert job is not None
    found = find_batch_job(shell.home, job)
    if found.state.is_final:
        say(f"{found.name} has ended: it is {found.state}")
    else:
        say(cancel_job(shell, found))


# --- listing ---


def _nothing(shell: "Shell", state: str, run: str) -> str:
    """Say of what there is none: a table without lines could be a mistake."""
    which = f"{state} batch jobs" if state else "batch jobs"
    where = run or str(shell.home.root)
    missing = "" if shell.home.root.is_dir() else ", which is not there"
    return f"no {which} in {where}{missing}"


def _warn(trouble: str) -> None:
    if trouble:
        warn(f"{trouble}; states are those that were noted last")


def _asked(job: "BatchJob") -> str:
    """Say what it asked for, without what it did not."""
    said = [f"{name} {value}" for name, value in job.resources.items() if value not in (None, "", 0)]
    return ", ".join(said)


# --- output ---


def _print_log(shell: "Shell", job: "BatchJob", follow: bool) -> int:
    """Print the end of the log and, if so asked, what is added until the batch job has ended.

    Returns how far the log was read.
    """
    from foedus.client.looking import current_job
    from foedus.site.batch_jobs import find_batch_job

    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    offset, is_final, asked_at = _FROM_END, False, -_ASK_S
    while True:
        data, offset = job.folder.read_log_from(offset)
        _print(decoder.decode(data))
        if not follow or (is_final and not data):
            return offset
        if not data:
            is_final = find_batch_job(shell.home, job.name).state.is_final  # then its last words come
            if not is_final and time.monotonic() - asked_at >= _ASK_S:  # nobody may follow it
                is_final = current_job(shell, job.name)[0].state.is_final
                asked_at = time.monotonic()
            if not is_final:
                time.sleep(_FOLLOW_S)


def _other_output(shell: "Shell", job: "BatchJob") -> str:
    """Return what there is when the task itself printed nothing: of the start script, or from the cluster."""
    from foedus.launch.cluster import BATCH_LOG
    from foedus.site.launchers import outlives_us, scheduler_of

    text = job.folder.read_tail(BATCH_LOG)
    if text or job.journal is None or not outlives_us(shell.settings):
        return text
    return scheduler_of(shell.settings).log(job.journal.full_name, job.journal.scheduler_id)


def _print(text: str) -> None:
    sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))
    sys.stdout.flush()

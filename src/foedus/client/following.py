"""Waits for batch jobs of applications and shows how far they are: bars in a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from foedus.apps.submit import AppJob, result_of, wait_for
from foedus.client.cmd_dataset import show_bytes
from foedus.client.output import console, one_line
from foedus.client.shell import Shell, program
from foedus.core.errors import FoedusError, TaskFailed
from foedus.core.records import JobState, JobStatus
from foedus.launch.folder import OUTPUT

if TYPE_CHECKING:
    from foedus.core.protocols import Launcher

Ended: TypeAlias = tuple[AppJob, Mapping[str, Any] | FoedusError]
"""A batch job with its result, or with why there is none."""

_KNOWN: Final = ("done", "total", "what")
_MOST_DETAILS: Final = 4
_SAVING_S: Final = 15.0  # so long batch jobs may take to save and end when they are cancelled
_REMEDIES: Final = (
    ("out of memory", "--memory-mb MB"),
    ("ended by the signal Killed", "--memory-mb MB"),  # most often for its memory
    ("MemoryError", "--memory-mb MB"),
    ("time limit", "--walltime-s SECONDS"),
    ("the scheduler refuses it", "--queue NAME"),
)
"""Words of launchers and applications, and the options that help."""


class _Show(Protocol):
    def __call__(self, job: AppJob, status: JobStatus, event: Mapping[str, Any] | None) -> None: ...


def follow(shell: Shell, launcher: "Launcher", jobs: Sequence[AppJob], stays: bool) -> list[Ended]:
    """Wait for the batch jobs, show their progress on standard error, register the datasets that they made.

    Returns them in their order. Ctrl-C cancels those that have not ended, unless they `stay`.
    """
    ended: dict[str, Ended] = {}
    try:
        with _progress(jobs) as show:
            for job, status in wait_for(launcher, jobs, show):
                try:
                    ended[job.name] = job, result_of(job, status)
                    _tell(f"{job.name} is done; its output is in {job.folder.path / OUTPUT}")
                    _register(shell, job)
                except FoedusError as error:
                    hint = "" if error.hint else advice(shell, job, status)
                    ended[job.name] = job, TaskFailed(error.message, hint) if hint else error
    except KeyboardInterrupt:
        _interrupted(shell, launcher, [job for job in jobs if job.name not in ended], stays)
        raise
    return [ended[job.name] for job in jobs]


def advice(shell: Shell, job: AppJob, status: JobStatus) -> str:
    """Say how a batch job that asked for too little, or what is not there, is done again; else nothing."""
    words = status.cause.partition("\n")[0]  # what follows is the program's
    options = next((text for sign, text in _REMEDIES if sign in words), "")
    if not options or status.state is not JobState.FAILED:
        return ""
    return f"Do it again, for example with: {program()} app resume {job.name} {options}{shell.home_option}"


def _tell(text: str) -> None:
    console(sys.stderr).print(text, markup=False, soft_wrap=True)


def _register(shell: Shell, job: AppJob) -> None:
    """Make the output a private dataset, where it is one and has not become one before."""
    from foedus.apps.datasets.catalogue import dataset_names
    from foedus.apps.datasets.loading import register

    order, output = job.order, job.folder.path / OUTPUT
    if not order.dataset_kind:
        return
    if order.dataset in dataset_names(shell.home):
        if not _is_of(shell, order.dataset, output):
            _tell(
                f"it did not become the dataset {order.dataset}: another one has this name; choose one with"
            )
            _tell(f"  {program()} dataset register {job.name} --name NAME{shell.home_option}")
        return
    with show_bytes("registering") as observer:
        found = register(shell.home, order.dataset, order.dataset_kind, output, observer=observer)
    _tell(f"it is the private dataset {found.name} ({found.examples:,} examples)")


def _is_of(shell: Shell, name: str, place: Path) -> bool:
    """Whether the dataset of this name is the one that lies there."""
    from foedus.apps.datasets.catalogue import find_dataset

    try:
        return find_dataset(shell.home, name).path == str(place.resolve())
    except FoedusError:  # its metadata are damaged, or it was removed just now
        return False


def _interrupted(shell: Shell, launcher: "Launcher", jobs: Sequence[AppJob], stays: bool) -> None:
    if stays:
        for job in jobs:
            _tell(f"{job.name} goes on as {job.native_id}")
        left = list(jobs)
    else:
        left = _cancelled(launcher, jobs)
    if left:
        _tell("wait again with" if stays else "go on with")
        _tell(f"  {program()} app resume {' '.join(job.name for job in left)}{shell.home_option}")


def _cancelled(launcher: "Launcher", jobs: Sequence[AppJob]) -> list[AppJob]:
    """Cancel the batch jobs, wait for their end and tell of it; return those that have no result.

    One more Ctrl-C ends them at once.
    """
    ids = [job.native_id for job in jobs]
    for native_id in ids:
        launcher.cancel(native_id)
    statuses, deadline = launcher.states(ids), time.monotonic() + _SAVING_S
    with suppress(KeyboardInterrupt):
        while not all(status.state.is_final for status in statuses.values()) and time.monotonic() < deadline:
            statuses = launcher.states(ids, deadline - time.monotonic())
    is_done = [statuses[native_id].state is JobState.COMPLETED for native_id in ids]
    for job, done in zip(jobs, is_done, strict=True):
        _tell(f"{job.name} is done" if done else f"{job.name} was cancelled")
    return [job for job, done in zip(jobs, is_done, strict=True) if not done]


@contextmanager
def _progress(jobs: Sequence[AppJob]) -> Iterator[_Show]:
    out = console(sys.stderr)
    if not out.is_terminal or out.is_dumb_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[details]}"), console=out, transient=True) as bars:
        is_one = len(jobs) == 1
        whole = bars.add_task("batch jobs", total=len(jobs), visible=not is_one, details="")
        own = {job.name: bars.add_task(job.name, total=None, visible=is_one, details="") for job in jobs}

        def show(job: AppJob, status: JobStatus, event: Mapping[str, Any] | None) -> None:
            bar = own[job.name]
            if status.state.is_final:
                bars.advance(whole)
            is_shown = is_one or status.state is JobState.RUNNING
            if event is None:
                bars.update(bar, visible=is_shown, details=one_line(status.cause or status.state))
            else:
                done, total = _share(event)
                bars.update(bar, visible=is_shown, completed=done, total=total, details=_details(event))

        yield show


def _lines() -> _Show:
    """Say each state once: a log needs no more."""
    last: dict[str, JobStatus] = {}

    def show(job: AppJob, status: JobStatus, event: Mapping[str, Any] | None) -> None:
        if last.get(job.name) != status and not status.state.is_final:
            cause = f": {status.cause}" if status.cause else ""
            _tell(one_line(f"{job.name} is {status.state}{cause}"))
            last[job.name] = status

    return show


def _share(event: Mapping[str, Any]) -> tuple[float, float | None]:
    done, total = event.get("done"), event.get("total")
    return (done if _is_number(done) else 0.0), (total if _is_number(total) and total else None)  # type: ignore[return-value]


def _details(event: Mapping[str, Any]) -> str:
    said = [
        f"{name} {value:,.4g}" for name, value in event.items() if name not in _KNOWN and _is_number(value)
    ]
    return one_line(", ".join(said[:_MOST_DETAILS]).replace("_per_s", "/s").replace("_", " "))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""Waits for an application's batch job and shows how far it is: a bar in a terminal, lines elsewhere."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from foedus.apps.submit import AppJob, wait_for
from foedus.client.cmd_dataset import show_bytes
from foedus.client.output import console, one_line
from foedus.client.shell import Shell, program
from foedus.core.records import JobStatus
from foedus.launch.folder import OUTPUT

if TYPE_CHECKING:
    from foedus.core.protocols import Launcher

_KNOWN: Final = ("done", "total", "what")
_MOST_DETAILS: Final = 4


class _Show(Protocol):
    def __call__(self, status: JobStatus, event: Mapping[str, Any] | None) -> None: ...


def follow(shell: Shell, launcher: "Launcher", job: AppJob, stays: bool) -> Mapping[str, Any]:
    """Wait for the batch job, show its progress on standard error, and register the dataset that it made.

    Returns its result. Ctrl-C cancels it unless it `stays`. Raises `TaskFailed` when there is no result.
    """
    try:
        with _progress(job.name) as show:
            result = wait_for(launcher, job, show)
    except KeyboardInterrupt:
        _interrupted(shell, launcher, job, stays)
        raise
    err = console(sys.stderr)
    err.print(
        f"{job.name} is done; its output is in {job.folder.path / OUTPUT}", markup=False, soft_wrap=True
    )
    _register(shell, job)
    return result


def _register(shell: Shell, job: AppJob) -> None:
    """Make the output a private dataset, where it is one and has not become one before."""
    from foedus.apps.datasets.catalogue import dataset_names
    from foedus.apps.datasets.loading import register

    order = job.order
    if not order.dataset_kind or order.dataset in dataset_names(shell.home):
        return
    with show_bytes("registering") as observer:
        found = register(
            shell.home, order.dataset, order.dataset_kind, job.folder.path / OUTPUT, observer=observer
        )
    console(sys.stderr).print(
        f"it is the private dataset {found.name} ({found.examples:,} examples)", markup=False, soft_wrap=True
    )


def _interrupted(shell: Shell, launcher: "Launcher", job: AppJob, stays: bool) -> None:
    if stays:
        text = f"{job.name} goes on as {job.native_id}; wait for it again with"
    else:
        launcher.cancel(job.native_id)
        text = f"{job.name} was cancelled; go on with it with"
    console(sys.stderr).print(
        f"{text}\n  {program()} app resume {job.name}{shell.home_option}", markup=False, soft_wrap=True
    )


@contextmanager
def _progress(name: str) -> Iterator[_Show]:
    out = console(sys.stderr)
    if not out.is_terminal or out.is_dumb_terminal:
        yield _lines(name)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[details]}"), console=out, transient=True) as bars:
        bar = bars.add_task(name, total=None, details="")

        def show(status: JobStatus, event: Mapping[str, Any] | None) -> None:
            if event is None:
                bars.update(bar, details=one_line(status.cause or status.state))
            else:
                done, total = _share(event)
                bars.update(bar, completed=done, total=total, details=_details(event))

        yield show


def _lines(name: str) -> _Show:
    """Say each state once: a log needs no more."""
    last: list[JobStatus] = []

    def show(status: JobStatus, event: Mapping[str, Any] | None) -> None:
        if last[-1:] != [status] and not status.state.is_final:
            cause = f": {status.cause}" if status.cause else ""
            console(sys.stderr).print(
                one_line(f"{name} is {status.state}{cause}"), markup=False, soft_wrap=True
            )
            last[:] = [status]

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

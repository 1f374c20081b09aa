"""Submits applications as batch jobs. Light: what the application itself needs is imported where it runs."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foedus.apps.application import Application
from foedus.apps.order import Order
from foedus.apps.parameters import Kind, Parameter, Value
from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder

if TYPE_CHECKING:
    from foedus.rounds.home import Home

_MOST_JOBS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AppJob:
    """An application that was submitted. `name` is that of its folder in the home folder's `jobs/`."""

    name: str
    folder: JobFolder
    native_id: NativeId
    order: Order


def submit(
    home: "Home",
    launcher: Launcher,
    application: Application,
    parameters: Mapping[str, object],
    resources: Resources,
    dataset: str = "",
) -> AppJob:
    """Check the parameters, make a new job folder and submit it.

    `dataset` is the name that the output is to be registered under, where it is a dataset; the batch job's
    name without it. Raises `InvalidSpec` before anything is written, or what the launcher raises.
    """
    values = check(home, application, parameters, dataset)
    name = _new_folder(home, application.name.lower())
    JobFolder(home.root / "jobs" / name).write_spec(_order(name, application, values, resources, dataset))
    return again(home, launcher, name)


def submit_as(
    home: "Home",
    launcher: Launcher,
    name: str,
    application: Application,
    parameters: Mapping[str, object],
    resources: Resources,
    dataset: str = "",
) -> AppJob:
    """Submit under a name of the caller's: done again after a crash, it finds what was done before.

    Raises as `submit` does.
    """
    folder = JobFolder(home.root / "jobs" / name)
    if not folder.has_spec():
        values = check(home, application, parameters, dataset)
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.write_spec(_order(name, application, values, resources, dataset))
    return again(home, launcher, name)


def _order(
    name: str,
    application: Application,
    values: Mapping[str, Value],
    resources: Resources,
    dataset: str,
) -> Mapping[str, Json]:
    return Order(
        application=application.name,
        parameters=values,
        resources=resources,
        command=application.command,
        keeps_checkpoints=application.keeps_checkpoints,
        datasets=tuple(p.name for p in application.parameters if application.command and _is_dataset(p)),
        dataset_kind=application.dataset_kind,
        dataset=(dataset or name) if application.dataset_kind else "",
    ).to_json()


def check(
    home: "Home", application: Application, parameters: Mapping[str, object], dataset: str = ""
) -> dict[str, Value]:
    """Return the values of all parameters. Raises `InvalidSpec` for what cannot be submitted."""
    if application.is_submitted_by_rounds:
        raise InvalidSpec(
            f"{application.name} is a task of a round: rounds submit it",
            "`foedus run SPEC.toml` starts a run.",
        )
    values = application.checked(parameters)
    _require_datasets(home, application, values)
    if application.check_at:
        from foedus.launch._code import load

        load(application.check_at)(home, values)
    if dataset:
        _require_free(home, application, dataset)
    return values


def again(home: "Home", launcher: Launcher, name: str) -> AppJob:
    """Submit a job folder that is there: one that is under way or has ended is found and not repeated.

    Raises `InvalidSpec` when there is no such batch job of an application.
    """
    folder = job_folder(home, name)
    order = Order.read(folder)
    spec = JobSpec(order.application, str(folder.path), order.resources, affinity=name)
    return AppJob(name, folder, launcher.submit(spec, f"app/{name}"), order)


def job_folder(home: "Home", name: str) -> JobFolder:
    """Return the folder of an application's batch job. Raises `InvalidSpec` naming those there are."""
    path = home.root / "jobs" / name
    if name in job_names(home):
        return JobFolder(path)
    known = ", ".join(job_names(home)[-8:]) or "none yet"
    raise InvalidSpec(f"there is no batch job {name[:60]!r} of an application", f"The newest: {known}.")


def job_names(home: "Home") -> list[str]:
    """Return the names of the batch jobs of applications, oldest first."""
    jobs = home.root / "jobs"
    if not jobs.is_dir():
        return []
    found = [path for path in jobs.iterdir() if JobFolder(path).has_spec()]
    return [path.name for path in sorted(found, key=_written_at)]


def _written_at(path: Path) -> int:
    return (path / "spec.json").lstat().st_mtime_ns


def wait_for(
    launcher: Launcher,
    jobs: Sequence[AppJob],
    observer: Callable[[AppJob, JobStatus, Mapping[str, Any] | None], None],
    poll_s: float = 0.5,
) -> Iterator[tuple[AppJob, JobStatus]]:
    """Yield each batch job with its last status once it has ended; see `result_of`.

    `observer` is told of the state of each that has not ended, and of its newest event.
    """
    left = {job.native_id: job for job in jobs}
    offsets = dict.fromkeys(left, 0)
    while left:
        for native_id, status in launcher.states(list(left), poll_s).items():
            job = left[native_id]
            events, offsets[native_id] = job.folder.read_events(offsets[native_id])
            observer(job, status, events[-1] if events else None)
            if status.state.is_final:
                del left[native_id]
                yield job, status


def result_of(job: AppJob, status: JobStatus) -> Mapping[str, Json]:
    """Return the result of a batch job that has ended. Raises `TaskFailed` saying why there is none."""
    result = job.folder.read_result() if status.state is JobState.COMPLETED else None
    if result is None:
        raise failed(job, status)
    return result


def failed(job: AppJob, status: JobStatus) -> TaskFailed:
    """Say why a batch job has no result: what the task itself told, else what its launcher saw."""
    failure = job.folder.read_failure()
    if failure is not None and status.state is JobState.FAILED:
        return TaskFailed(f"{job.name} failed: {failure.message}", failure.hint)
    return TaskFailed(f"{job.name} is {status.state}" + (f": {status.cause}" if status.cause else ""))


def _require_datasets(home: "Home", application: Application, values: Mapping[str, object]) -> None:
    for parameter in application.parameters:
        if _is_dataset(parameter) and values[parameter.name] is not None:
            from foedus.apps.datasets.catalogue import find_dataset

            find_dataset(home, str(values[parameter.name]))


def _is_dataset(parameter: Parameter) -> bool:
    return parameter.kind is Kind.DATASET


def _require_free(home: "Home", application: Application, dataset: str) -> None:
    from foedus.apps.datasets.catalogue import dataset_file

    if not application.dataset_kind:
        raise InvalidSpec(f"the output of {application.name} is no dataset", "Leave --dataset out.")
    if dataset_file(home, dataset).exists():
        raise InvalidSpec(f"there is a dataset {dataset!r} already", "Choose another name.")


def _new_folder(home: "Home", prefix: str) -> str:
    """Make the next free folder; making it is what decides between two who ask at once."""
    jobs = home.root / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = [name.rpartition("-") for name in os.listdir(jobs)]
    numbers = [int(number) for stem, _, number in taken if stem == prefix and number.isdecimal()]
    for number in range(max(numbers, default=0) + 1, _MOST_JOBS):
        name = f"{prefix}-{number}"
        try:
            (jobs / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return name
    raise InvalidSpec(f"{jobs} has too many batch jobs of {prefix}", "Remove old ones.")

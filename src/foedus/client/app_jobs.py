"""Batch jobs of applications, from their submission to the printed result."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from foedus.apps.application import Application
from foedus.apps.order import Order
from foedus.apps.submit import AppJob, failed, job_folder
from foedus.apps.submit import submit as send
from foedus.apps.sweep import submit_each
from foedus.client.app_words import figures
from foedus.client.following import follow
from foedus.client.output import Format, print_json, print_pairs, say
from foedus.client.shell import Shell, program
from foedus.core.errors import FoedusError, InvalidSpec, TaskFailed
from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch.cluster.journal import Journal
from foedus.site.launchers import open_launcher, outlives_us, resources_of

_ANSWER_S: Final = 60.0  # so long the scheduler may take to say what has become of a submission


def run_application(
    shell: Shell,
    application: Application,
    parameters: Mapping[str, object] | Sequence[Mapping[str, object]],
    output: Format,
    asked: Mapping[str, Any] | None = None,
    dataset: str = "",
    wait: bool = True,
) -> None:
    """Submit an application with its resources, changed by what is `asked`, wait for it and print the result.

    With a list of parameters, do so for each at once, and print a list. Raises `InvalidSpec`, and
    `TaskFailed` when there is no result.
    """
    require_waiting(shell, wait)
    resources = replace(resources_of(shell.settings, application), **(asked or {}))
    if isinstance(parameters, Mapping):
        with open_launcher(shell.settings, [resources]) as launcher:
            job = send(shell.home, launcher, application, parameters, resources, dataset)
            finish(shell, launcher, [job], wait, output, is_list=False)
    else:
        with open_launcher(shell.settings, [resources] * len(parameters)) as launcher:
            jobs = submit_each(shell.home, launcher, application, parameters, resources, dataset)
            finish(shell, launcher, jobs, wait, output, is_list=True)


def asking_for(shell: Shell, names: Sequence[str], said: Mapping[str, Any]) -> list[Resources]:
    """Return what batch jobs ask for from now on: what they did, changed by what is said.

    Raises `InvalidSpec`, before any is changed, for one that is not there, or that may still be under way.
    """
    orders = {name: Order.read(job_folder(shell.home, name)) for name in names}
    if said:
        for name in names:
            _require_ended(shell, name)
        for name, order in orders.items():
            orders[name] = replace(order, resources=replace(order.resources, **said))
            job_folder(shell.home, name).write_spec(orders[name].to_json())
    return [order.resources for order in orders.values()]


def _require_ended(shell: Shell, name: str) -> None:
    folder = job_folder(shell.home, name)
    journal = Journal.read(folder)
    if folder.has_result():
        raise InvalidSpec(f"{name} has ended well, and is not repeated", "Submit it anew instead.")
    if folder.is_held() or not (journal is None or journal.is_settled or journal.is_cancelled):
        raise InvalidSpec(
            f"{name} is not known to have ended: what it asks for cannot be changed",
            f"`{program()} app resume {name}{shell.home_option}` tells how it ended, or waits for that.",
        )


def require_waiting(shell: Shell, wait: bool) -> None:
    """Raise `InvalidSpec` where nobody waits for batch jobs that end with us."""
    if not wait and not outlives_us(shell.settings):
        raise InvalidSpec(
            "on this machine a batch job ends with the command that submitted it", "Leave --no-wait out."
        )


def finish(
    shell: Shell,
    launcher: Launcher,
    jobs: Sequence[AppJob],
    wait: bool,
    output: Format,
    *,
    is_list: bool,
) -> None:
    """Wait for the batch jobs and print their results, or say how that is done later.

    Raises `TaskFailed` when one has no result, or is not known to be queued or running.
    """
    if not wait:
        statuses = _known(launcher, jobs)
        if not all(status.state.is_final for status in statuses.values()):
            _print_submitted(shell, jobs, statuses, output, is_list=is_list)
            return
    ended = follow(shell, launcher, jobs, outlives_us(shell.settings))
    failures = [result for _, result in ended if isinstance(result, FoedusError)]
    if failures and not is_list:
        raise failures[0]
    if output is Format.JSON:
        found = [_ended_json(job, result) for job, result in ended]
        print_json(found if is_list else found[0])
    else:
        varied = _varied([job for job, _ in ended])
        for job, result in ended:
            if is_list:
                values = ", ".join(f"{name} = {job.order.parameters.get(name)}" for name in varied)
                say(f"{job.name}: {values}" if values else job.name, "bold")
            if isinstance(result, FoedusError):
                say(str(result))
            else:
                print_pairs(figures(result))
    if failures:
        raise TaskFailed(f"{len(failures)} of {len(jobs)} batch jobs failed; the first: {failures[0]}")


def _known(launcher: Launcher, jobs: Sequence[AppJob]) -> Mapping[NativeId, JobStatus]:
    """Return the states once they are known, or there was no more time to wait for that."""
    ids, deadline = [job.native_id for job in jobs], time.monotonic() + _ANSWER_S
    statuses = launcher.states(ids)
    while any(status.state is JobState.UNKNOWN for status in statuses.values()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        statuses = launcher.states(ids, left)
    return statuses


def _print_submitted(
    shell: Shell,
    jobs: Sequence[AppJob],
    statuses: Mapping[NativeId, JobStatus],
    output: Format,
    *,
    is_list: bool,
) -> None:
    """Say what has become of each. Raises `TaskFailed` where one is not known to be queued or running."""
    told = [(job, statuses[job.native_id]) for job in jobs]
    if output is Format.JSON:
        found = [_submitted_json(job, status) for job, status in told]
        print_json(found if is_list else found[0])
    else:
        for job, status in told:
            name = f" as {status.scheduler_id}" if status.scheduler_id else ""
            cause = f": {status.cause}" if status.cause else ""
            say(f"{job.name} is {status.state}{name}{cause}")
        say("wait for it with")
        going_on = [job.name for job, status in told if not status.state.is_final]
        say(f"  {program()} app resume {' '.join(going_on)}{shell.home_option}")
    good = (JobState.QUEUED, JobState.RUNNING, JobState.COMPLETED)
    failures = [failed(job, status).message for job, status in told if status.state not in good]
    if failures:
        raise TaskFailed(
            f"{len(failures)} of {len(jobs)} batch jobs cannot be waited for; the first: {failures[0]}"
            if is_list
            else failures[0]
        )


def _submitted_json(job: AppJob, status: JobStatus) -> dict[str, Any]:
    return {
        "job": job.name,
        "native_id": job.native_id,
        "folder": str(job.folder.path),
        "scheduler_id": status.scheduler_id,
        "state": status.state,
        "cause": status.cause,
    }


def _varied(jobs: Sequence[AppJob]) -> list[str]:
    """Return the names of the parameters that are not the same for all."""
    every = [job.order.parameters for job in jobs]
    names = dict.fromkeys(name for one in every for name in one)
    return [name for name in names if len({repr(one.get(name)) for one in every}) > 1]


def _ended_json(job: AppJob, result: Mapping[str, Any] | FoedusError) -> dict[str, Any]:
    told: dict[str, Any] = {"job": job.name, "output": str(job.folder.path / "output")}
    if isinstance(result, FoedusError):
        return told | {"error": result.message, "hint": result.hint}
    return told | {"result": result}

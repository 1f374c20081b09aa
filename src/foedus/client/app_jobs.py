"""Batch jobs of applications, from their submission to the printed result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from foedus.apps.application import Application
from foedus.apps.submit import AppJob
from foedus.apps.submit import submit as send
from foedus.apps.sweep import submit_each
from foedus.client.app_words import figures
from foedus.client.following import follow
from foedus.client.launchers import open_launcher, outlives_us, resources_of
from foedus.client.output import Format, print_json, print_pairs, say
from foedus.client.shell import Shell, program
from foedus.core.errors import FoedusError, InvalidSpec, TaskFailed
from foedus.core.protocols import Launcher


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

    Raises `TaskFailed` when one has no result.
    """
    if not wait:
        _print_submitted(shell, jobs, output, is_list=is_list)
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


def _print_submitted(shell: Shell, jobs: Sequence[AppJob], output: Format, *, is_list: bool) -> None:
    if output is Format.JSON:
        found = [{"job": j.name, "native_id": j.native_id, "folder": str(j.folder.path)} for j in jobs]
        print_json(found if is_list else found[0])
        return
    for job in jobs:
        say(f"{job.name} is submitted as {job.native_id}")
    say("wait for it with")
    say(f"  {program()} app resume {' '.join(job.name for job in jobs)}{shell.home_option}")


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

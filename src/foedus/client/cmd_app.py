"""The commands about applications: list, show, submit, resume."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say, seconds_text
from foedus.client.shell import FormatOption, HomeOption, Shell, open_shell, program
from foedus.core.errors import InvalidSpec

if TYPE_CHECKING:
    from foedus.apps.registry import Application
    from foedus.apps.submit import AppJob
    from foedus.core.records import Resources

_MOST_IN_LINE = 12

app = typer.Typer(help="Run registered programs as batch jobs.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the application, e.g. SIM_REACTION_DIFFUSION.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the batch job and show its progress.")
]


@app.command("list")
def list_(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the applications: those of Foedus, and those of the folder `applications` in the home folder.

    \b
    Examples:
      foedus app list
      foedus app list --format json
    """
    from foedus.apps.registry import applications

    found = list(applications(open_shell(home).home).values())
    if output is Format.JSON:
        print_json([_as_json(one) for one in found])
        return
    rows = [(one.name, one.title, _asks(one.resources), one.origin) for one in found]
    print_table(("name", "what it does", "asks for", "from"), rows)
    say("")
    say(f"all about one: {program()} app show NAME", "dim")


@app.command()
def show(name: NameArgument, home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show what an application does, its parameters with their ranges, its resources and its results.

    \b
    Examples:
      foedus app show SIM_REACTION_DIFFUSION
    """
    from foedus.apps.registry import find_application

    found = find_application(open_shell(home).home, name)
    if output is Format.JSON:
        print_json(_as_json(found))
        return
    say(f"{found.name}: {found.title}", "bold")
    for line in found.description.splitlines():
        say(line)
    say("")
    print_pairs([("asks for", _asks(found.resources)), ("from", found.origin), *_submitted_how(found)])
    if found.parameters:
        say("")
        rows = [(p.name, p.kind, _default(p.default), p.range_text, p.unit, p.help) for p in found.parameters]
        print_table(("parameter", "type", "default", "range", "unit", "meaning"), rows)
    if found.results:
        say("")
        print_table(("result", "what it is"), [(one.name, one.help) for one in found.results])


@app.command()
def submit(
    name: NameArgument,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter; give it once for each."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the private dataset that the output becomes."),
    ] = None,
    cpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processors.")] = None,
    memory_mb: Annotated[int | None, typer.Option(metavar="MB", min=1, help="Memory.")] = None,
    gpus: Annotated[int | None, typer.Option(metavar="N", min=0, help="GPUs.")] = None,
    gpu_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Type of GPU.")] = None,
    walltime_s: Annotated[float | None, typer.Option(metavar="SECONDS", help="Time limit.")] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Queue or partition.")] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Account that pays.")] = None,
    qos: Annotated[str | None, typer.Option(metavar="NAME", help="Quality of service.")] = None,
    constraint: Annotated[str | None, typer.Option(metavar="TEXT", help="Constraint on nodes.")] = None,
    wait: WaitOption = True,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Submit an application as a batch job, and wait for it.

    What is not given has the defaults that `foedus app show` tells. Ctrl-C ends the batch job on this
    machine; on a cluster it goes on.

    \b
    Examples:
      foedus app submit SIM_REACTION_DIFFUSION -p F=0.035 -p k=0.065
      foedus app submit SIM_REACTION_DIFFUSION -p steps=20000 --cpus 2 --dataset spots
      foedus app submit SIM_RENDER -p frames=spots --format json
    """
    from foedus.apps.registry import find_application

    shell = open_shell(home)
    asked = {
        "cpus": cpus,
        "memory_mb": memory_mb,
        "gpus": gpus,
        "gpu_type": gpu_type,
        "walltime_s": walltime_s,
        "queue": queue,
        "account": account,
        "qos": qos,
        "constraint": constraint,
    }
    found = find_application(shell.home, name)
    given = _parameters(parameter or [])
    run_application(shell, found, given, output, _said(asked), dataset or "", wait)


@app.command()
def resume(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of the batch job, e.g. sim_render-1.")],
    wait: WaitOption = True,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Go on with a batch job that was interrupted, or take up waiting for it.

    One that has ended well is not repeated; one that keeps checkpoints goes on from the last.

    \b
    Examples:
      foedus app resume sim_reaction_diffusion-1
    """
    from foedus.apps.submit import again
    from foedus.client.launchers import open_launcher

    shell = open_shell(home)
    _require_waiting(shell, wait)
    with open_launcher(shell.settings) as launcher:
        _follow(shell, launcher, again(shell.home, launcher, job), wait, output)


def run_application(
    shell: Shell,
    application: "Application",
    parameters: Mapping[str, object],
    output: Format,
    asked: Mapping[str, Any] | None = None,
    dataset: str = "",
    wait: bool = True,
) -> None:
    """Submit an application with its resources, changed by what is `asked`, wait for it and print the result.

    Raises `InvalidSpec`, and `TaskFailed` when there is no result.
    """
    from dataclasses import replace

    from foedus.apps.submit import submit as send
    from foedus.client.launchers import open_launcher, resources_of

    _require_waiting(shell, wait)
    resources = replace(resources_of(shell.settings, application), **(asked or {}))
    with open_launcher(shell.settings) as launcher:
        job = send(shell.home, launcher, application, parameters, resources, dataset)
        _follow(shell, launcher, job, wait, output)


def _require_waiting(shell: Shell, wait: bool) -> None:
    from foedus.client.launchers import outlives_us

    if not wait and not outlives_us(shell.settings):
        raise InvalidSpec(
            "on this machine a batch job ends with the command that submitted it", "Leave --no-wait out."
        )


def _follow(shell: Shell, launcher: Any, job: "AppJob", wait: bool, output: Format) -> None:  # noqa: ANN401
    from foedus.client.following import follow
    from foedus.client.launchers import outlives_us

    if wait:
        result = follow(shell, launcher, job, outlives_us(shell.settings))
        if output is Format.JSON:
            print_json({"job": job.name, "output": str(job.folder.path / "output"), "result": result})
        else:
            print_pairs(_figures(result))
        return
    if output is Format.JSON:
        print_json({"job": job.name, "native_id": job.native_id, "folder": str(job.folder.path)})
    else:
        say(f"{job.name} is submitted as {job.native_id}; wait for it with")
        say(f"  {program()} app resume {job.name}{shell.home_option}")


def _figures(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Return what of a result fits on one line each."""
    found: list[tuple[str, object]] = []
    for name, value in result.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            found += _figures(value, f"{prefix}{name} ")
        elif isinstance(value, list) and len(value) <= _MOST_IN_LINE and not any(map(_is_nested, value)):
            found.append((words, ", ".join(map(_figure, value))))
        elif value is not None and not isinstance(value, list):
            found.append((words, _figure(value)))
    return found


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list))


def _parameters(given: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise InvalidSpec(f"a parameter is NAME=VALUE, got {text[:60]!r}", "For example: -p F=0.035")
        if name in found:
            raise InvalidSpec(f"parameter {name} is given twice")
        found[name] = value
    return found


def _said(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources that the command line names."""
    said = {name: value for name, value in asked.items() if value is not None}
    if not said.get("walltime_s", 1.0) > 0:
        raise InvalidSpec("--walltime-s must be above 0")
    return said


def _asks(resources: "Resources") -> str:
    parts = [f"{resources.cpus} CPU" + "s" * (resources.cpus != 1)]
    if resources.memory_mb:
        parts.append(f"{resources.memory_mb:,} MB")
    if resources.gpus:
        parts.append(f"{resources.gpus} {resources.gpu_type} GPU".replace("  ", " "))
    return ", ".join([*parts, seconds_text(resources.walltime_s)])


def _default(value: object) -> str:
    from foedus.apps.parameters import REQUIRED

    if value is REQUIRED:
        return "required"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _submitted_how(application: "Application") -> list[tuple[str, str]]:
    if application.is_submitted_by_rounds:
        return [("submitted by", "rounds of a run")]
    if application.dataset_kind:
        return [("its output", f"becomes a private dataset ({application.dataset_kind})")]
    return []


def _as_json(application: "Application") -> dict[str, Any]:
    from dataclasses import asdict

    values = {**asdict(application), "is_submitted_by_rounds": application.is_submitted_by_rounds}
    for name in ("entry", "check"):
        del values[name]
    for one, parameter in zip(values["parameters"], application.parameters, strict=True):
        one["required"] = parameter.is_required
        one["default"] = None if parameter.is_required else parameter.default
        for bound in ("minimum", "maximum"):
            one[bound] = one[bound] if abs(one[bound]) != float("inf") else None
    return values

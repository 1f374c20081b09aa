"""The commands about applications: list, show, submit, resume."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from foedus.client.app_words import as_json, asks_here, default_text, resource_rows, submitted_how
from foedus.client.output import Format, print_json, print_pairs, print_table, say
from foedus.client.shell import FormatOption, HomeOption, LauncherOption, open_shell, program
from foedus.core.errors import InvalidSpec

app = typer.Typer(help="Run registered programs as batch jobs.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the application, e.g. SIM_REACTION_DIFFUSION.")
]
CpusOption = Annotated[
    int | None, typer.Option("--cpus", metavar="N", min=1, help="Processors, and threads of the program.")
]
MemoryOption = Annotated[int | None, typer.Option("--memory-mb", metavar="MB", min=1, help="Memory.")]
GpusOption = Annotated[int | None, typer.Option("--gpus", metavar="N", min=0, help="GPUs.")]
GpuTypeOption = Annotated[str | None, typer.Option("--gpu-type", metavar="TYPE", help="Type of GPU.")]
WalltimeOption = Annotated[float | None, typer.Option("--walltime-s", metavar="SECONDS", help="Time limit.")]
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Queue or partition.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="NAME", help="Account that pays.")]
QosOption = Annotated[str | None, typer.Option("--qos", metavar="NAME", help="Quality of service.")]
ConstraintOption = Annotated[
    str | None, typer.Option("--constraint", metavar="TEXT", help="Constraint on nodes.")
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

    shell = open_shell(home)
    found = list(applications(shell.home).values())
    if output is Format.JSON:
        print_json([as_json(shell.settings, one) for one in found])
        return
    rows = [(one.name, one.title, asks_here(shell.settings, one), one.origin) for one in found]
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

    shell = open_shell(home)
    found = find_application(shell.home, name)
    if output is Format.JSON:
        print_json(as_json(shell.settings, found))
        return
    say(f"{found.name}: {found.title}", "bold")
    for line in found.description.splitlines():
        say(line)
    say("")
    print_pairs([("from", found.origin), *submitted_how(found)])
    say("")
    print_table(("asks for", "value", "said in"), resource_rows(shell.settings, found), right=("value",))
    if found.parameters:
        say("")
        rows = [
            (p.name, p.kind, default_text(p.default), p.range_text, p.unit, p.help) for p in found.parameters
        ]
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
    each: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2,…",
            help="One batch job for each value; given more than once, for each combination.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Private dataset that the output becomes; with --each NAME-1, NAME-2 …",
        ),
    ] = None,
    cpus: CpusOption = None,
    memory_mb: MemoryOption = None,
    gpus: GpusOption = None,
    gpu_type: GpuTypeOption = None,
    walltime_s: WalltimeOption = None,
    queue: QueueOption = None,
    account: AccountOption = None,
    qos: QosOption = None,
    constraint: ConstraintOption = None,
    wait: WaitOption = True,
    home: HomeOption = None,
    launcher: LauncherOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Submit an application as a batch job, or as several with --each, and wait for it.

    What is not given has the defaults that `foedus app show` tells. Ctrl-C ends the batch job on this
    machine; on a cluster it goes on.

    \b
    Examples:
      foedus app submit SIM_REACTION_DIFFUSION -p F=0.035 -p k=0.065
      foedus app submit SIM_REACTION_DIFFUSION -p steps=20000 --cpus 2 --dataset spots
      foedus app submit SIM_REACTION_DIFFUSION --each F=0.03,0.04,0.05 --each k=0.06,0.062
      foedus app submit SIM_RENDER -p frames=spots --format json
    """
    from foedus.apps.registry import find_application
    from foedus.apps.sweep import combinations
    from foedus.client.app_jobs import run_application

    shell = open_shell(home, launcher=launcher)
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
    given = _pairs(parameter or [], "-p F=0.035")
    lists = {one: _values(one, text) for one, text in _pairs(each or [], "--each F=0.03,0.04").items()}
    variants = combinations(given, lists)
    run_application(
        shell, found, variants if each else variants[0], output, _said(asked), dataset or "", wait
    )


@app.command()
def resume(
    job: Annotated[
        list[str], typer.Argument(metavar="JOB...", help="Names of batch jobs, e.g. sim_render-1.")
    ],
    cpus: CpusOption = None,
    memory_mb: MemoryOption = None,
    gpus: GpusOption = None,
    gpu_type: GpuTypeOption = None,
    walltime_s: WalltimeOption = None,
    queue: QueueOption = None,
    account: AccountOption = None,
    qos: QosOption = None,
    constraint: ConstraintOption = None,
    wait: WaitOption = True,
    home: HomeOption = None,
    launcher: LauncherOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Go on with batch jobs that were interrupted, or failed, or take up waiting for them.

    One that has ended well is not repeated; one that keeps checkpoints goes on from the last. They ask for
    what they asked for before, changed by what is given here: that is possible once they have ended.

    \b
    Examples:
      foedus app resume sim_reaction_diffusion-1
      foedus app resume sim_reaction_diffusion-1 --memory-mb 4000 --queue long
    """
    from foedus.apps.submit import again
    from foedus.client.app_jobs import asking_for, finish, require_waiting
    from foedus.client.elsewhere import note_ends
    from foedus.site.launchers import open_launcher

    shell = open_shell(home, launcher=launcher)
    require_waiting(shell, wait)
    names = list(dict.fromkeys(job))
    note_ends(shell, names)
    said = _said(
        {
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
    )
    asked = asking_for(shell, names, said)  # all, before one begins
    with open_launcher(shell.settings, asked) as opened:
        jobs = [again(shell.home, opened, name) for name in names]
        finish(shell, opened, jobs, wait, output, is_list=len(names) > 1)


def _pairs(given: list[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise InvalidSpec(f"a parameter is NAME=VALUE, got {text[:60]!r}", f"For example: {example}")
        if name in found:
            raise InvalidSpec(f"parameter {name} is given twice")
        found[name] = value
    return found


def _values(name: str, text: str) -> list[str]:
    values = text.split(",")
    if not all(values) or len(set(values)) < len(values):
        raise InvalidSpec(f"--each {name} needs values that differ, with a comma in between")
    return values


def _said(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources that the command line names, checked as those in an application's file are."""
    from pydantic import ValidationError

    from foedus.apps.files import ResourcesSection
    from foedus.core.faults import in_words

    said = {name: value for name, value in asked.items() if value is not None}
    if not said.get("walltime_s", 1.0) > 0:
        raise InvalidSpec("--walltime-s must be above 0")
    try:
        ResourcesSection.model_validate(said)
    except ValidationError as error:
        faults = [(str(fault["loc"][0]).replace("_", "-"), in_words(dict(fault))) for fault in error.errors()]
        raise InvalidSpec("\n".join(f"--{option}: {message}" for option, message in faults)) from error
    return said

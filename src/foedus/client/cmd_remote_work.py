"""The commands that change something on a platform, or watch it: more of `foedus remote …`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.client.cmd_login import ServerOption
from foedus.client.cmd_remote import Of, Output, Slug, app, signed_in
from foedus.client.output import Format, print_json, print_pairs, say, size_text
from foedus.client.shell import FormatOption, RunArgument, program
from foedus.core.errors import FoedusError, InvalidSpec

if TYPE_CHECKING:
    from foedus.client.remote.client import Event, Run


# --- projects and data ---


@app.command("create-project")
def create_project(
    project: Slug,
    title: Annotated[str, typer.Option("--title", help="What it is called.")],
    goal: Annotated[str, typer.Option("--goal", help="What it is for.")] = "",
    server: ServerOption = "",
) -> None:
    """Found a project, whose owner you are.

    \b
    Examples:
      foedus remote create-project lungs --title "Lungs on X-rays"
    """
    with signed_in(server) as client:
        made = client.create_project(project, title, goal=goal)
        say(f"Founded {made.slug}: {client.connection.url}/projects/{made.slug}")


@app.command()
def invite(
    project: Slug,
    role: Annotated[str, typer.Option("--role", help="member, auditor or lead.")] = "member",
    uses: Annotated[int, typer.Option("--uses", help="How many people may use it.", min=1)] = 1,
    server: ServerOption = "",
) -> None:
    """Make a link that lets people join; it is shown this once.

    \b
    Examples:
      foedus remote invite lungs --uses 3
    """
    with signed_in(server) as client:
        say(client.project(project).invite(role, uses=uses))


@app.command()
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the dataset is called.")],
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="What it is: images, arrays, idx, table, frames.")
    ],
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Path at the site, below a data root.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the worker has read it.")] = False,
    server: ServerOption = "",
) -> None:
    """Register data that lie at the site as a private dataset.

    \b
    Examples:
      foedus remote register scans images study/scans --wait
    """
    with signed_in(server) as client:
        made = client.register_dataset(name, kind, place)
        found = made.wait() if wait else made
        print_pairs([(key, found.values[key]) for key in ("id", "name", "state", "examples")])


@app.command()
def contribute(
    project: Slug,
    dataset: Annotated[int, typer.Argument(metavar="DATASET", help="Number of one of your datasets.")],
    mix_shared: Annotated[
        bool, typer.Option("--mix-shared", help="Train with what the project shares, too.")
    ] = False,
    server: ServerOption = "",
) -> None:
    """Choose the dataset that you train on in a project.

    \b
    Examples:
      foedus remote contribute lungs 7 --mix-shared
    """
    with signed_in(server) as client:
        client.project(project).contribute(dataset, mix_shared)
        say(f"Dataset {dataset} trains in {project} from the next run on.")


# --- runs ---


@app.command("run")
def start(
    project: Slug,
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="The run's spec.")],
    title: Annotated[str, typer.Option("--title", help="What people call it.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Only check it; start nothing.")] = False,
    follow: Annotated[bool, typer.Option("--watch", help="Say what happens until it is over.")] = False,
    server: ServerOption = "",
) -> None:
    """Start a run of a project. Name, data and clients are the platform's to say.

    \b
    Examples:
      foedus remote run lungs spec.toml --check
      foedus remote run lungs spec.toml --watch
    """
    from foedus.rounds.spec import read_toml

    try:
        values = read_toml(spec)
    except FileNotFoundError as error:
        raise InvalidSpec(f"there is no file {spec}", "Give the path of a run spec (TOML).") from error
    with signed_in(server) as client:
        found = client.project(project)
        if check:
            checked = found.check_run(values)
            typer.echo(checked["toml"])
            say(f"clients: {', '.join(checked['clients'])}")
            return
        run = found.start_run(values, title)
        say(f"Started {run.name}: {client.connection.url}/runs/{run.name}")
        if follow:
            _watch(run)


@app.command()
def watch(
    run: RunArgument,
    after: Annotated[int, typer.Option("--after", help="Go on after the event with this id.", min=0)] = 0,
    server: ServerOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Say what happens in a run until it is over; with JSON, one event a line.

    \b
    Examples:
      foedus remote watch lungs-3
    """
    with signed_in(server) as client:
        _watch(client.run(run), after, output)


def _watch(run: "Run", after: int = 0, output: Format = Format.TABLE) -> None:
    last = after
    try:
        for event in run.watch(after):
            last = event.id
            _tell(event, output)
    except KeyboardInterrupt:
        say(f"It goes on without you. Watch again: {program()} remote watch {run.name} --after {last}")
        raise
    ended = run.refreshed()
    say(f"{ended.name} is {ended.state}" + (f": {ended.values['cause']}" if ended.values["cause"] else ""))
    if ended.state == "failed":
        raise FoedusError(f"{ended.name} failed: {ended.values['cause']}", str(ended.values["hint"]))


def _tell(event: "Event", output: Format) -> None:
    import json

    if output is Format.JSON:
        typer.echo(json.dumps(asdict(event), sort_keys=True))
        return
    who = f" {event.client}" if event.client else ""
    said = ", ".join(
        f"{key} {one}" for key, one in event.values.items() if isinstance(one, int | float | str)
    )
    say(f"{event.at[11:19]}  round {event.round}{who}: {event.kind}" + (f" ({said})" if said else ""))


@app.command("show")
def show(run: RunArgument, server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Show where a run stands.

    \b
    Examples:
      foedus remote show lungs-3
    """
    with signed_in(server) as client:
        values = client.run(run).values
    if output is Format.JSON:
        print_json(values)
        return
    named = ("name", "title", "project", "state", "cause", "hint", "round", "rounds", "score", "version")
    print_pairs([(key, values[key]) for key in named if values.get(key) not in (None, "")])


@app.command()
def cancel(
    run: RunArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands on the chain.")],
    server: ServerOption = "",
) -> None:
    """Ask for a run's end.

    \b
    Examples:
      foedus remote cancel lungs-3 --reason "wrong data"
    """
    with signed_in(server) as client:
        say(f"{run} is to end: {client.run(run).cancel(reason).values['cancel_reason']}")


@app.command()
def vote(
    run: RunArgument,
    number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Number of the round.")],
    choice: Annotated[str, typer.Argument(metavar="yes|no|abstain", help="Your answer.")],
    comment: Annotated[str, typer.Option("--comment", help="What others may read beside it.")] = "",
    server: ServerOption = "",
) -> None:
    """Answer a ballot.

    \b
    Examples:
      foedus remote vote lungs-3 7 yes --comment "better on ours, too"
    """
    with signed_in(server) as client:
        body = {"run": run, "round": number, "choice": choice, "comment": comment}
        client.connection.post("votes", body=body)
        say(f"Voted {choice} on round {number} of {run}.")


@app.command()
def export(run: RunArgument, path: Output, server: ServerOption = "") -> None:
    """Fetch a run as a ZIP of its spec and all its numbers.

    \b
    Examples:
      foedus remote export lungs-3 -o lungs-3.zip
    """
    with signed_in(server) as client, _bar(path.name) as observer:
        client.run(run).export(path, observer)
    say(f"Wrote {path} ({size_text(path.stat().st_size)}).")


@app.command()
def pull(
    cid: Annotated[str, typer.Argument(metavar="CID", help="Of the version.")],
    path: Output,
    project: Of = "",
    server: ServerOption = "",
) -> None:
    """Fetch the weights of a version, checked against their CID.

    \b
    Examples:
      foedus remote pull bafkrei… -o model.safetensors
    """
    with signed_in(server) as client, _bar(path.name) as observer:
        model = client.model(cid, project)
        model.download(path, observer)
    say(f"Wrote {path} ({size_text(path.stat().st_size)}); its CID is {model.values['weights']}.")


@contextmanager
def _bar(name: str) -> "Iterator[Any]":
    """Show how far a download is."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from foedus.client.output import console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# --- batch jobs ---


@app.command()
def submit(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="See `foedus remote apps`.")],
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Its parameters.")
    ] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="Register its output under this name.")] = "",
    server: ServerOption = "",
) -> None:
    """Submit an application as a batch job at the site.

    \b
    Examples:
      foedus remote submit SIM_REACTION_DIFFUSION F=0.03 k=0.062
    """
    values: dict[str, object] = {}
    for one in parameters or []:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidSpec(f"{one!r} is not NAME=VALUE")
        values[name] = value
    with signed_in(server) as client:
        job = client.submit(application, values, becomes_dataset=dataset)
        say(f"Submitted batch job {job.id}: {client.connection.url}/jobs/{job.id}")


@app.command()
def log(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the batch job.")],
    server: ServerOption = "",
) -> None:
    """Print the end of a batch job's log.

    \b
    Examples:
      foedus remote log 12
    """
    from foedus.client.output import printable

    with signed_in(server) as client:
        typer.echo(printable(client.job(job).log()))


@app.command("cancel-job")
def cancel_job(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the batch job.")],
    server: ServerOption = "",
) -> None:
    """Ask for a batch job's end.

    \b
    Examples:
      foedus remote cancel-job 12
    """
    with signed_in(server) as client:
        client.job(job).cancel()
        say(f"Batch job {job} is to end.")

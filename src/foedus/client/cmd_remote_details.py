"""The commands that show one thing of a platform, and those for who leads: more of `foedus remote …`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from foedus.client.cmd_login import ServerOption
from foedus.client.cmd_remote import Limit, Of, Output, Slug, app, listed, signed_in
from foedus.client.output import Format, print_json, print_pairs, print_table, say, size_text
from foedus.client.shell import CidArgument, FormatOption, RunArgument

_MOST = 50
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Its number.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="User name of the member.")]


def _tell(values: Mapping[str, Any], output: Format) -> None:
    """Print a thing: its values as pairs, and each list of things as a table."""
    if output is Format.JSON:
        print_json(values)
        return
    tables = {key: one for key, one in values.items() if _is_table(one)}
    print_pairs([(key, _text(one)) for key, one in values.items() if key not in tables and _text(one)])
    for key, rows in tables.items():
        say("")
        print_table(list(rows[0]), [[_text(one) for one in row.values()] for row in rows], title=key)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {_text(one)}" for key, one in value.items() if _text(one))
        case list():
            return ", ".join(map(_text, value))
    return str(value)


def _shown(server: str, output: Format, *path: str | int, **query: str) -> None:
    with signed_in(server) as client:
        _tell(client.connection.get(*path, **query), output)


# --- one thing ---


@app.command()
def project(project: Slug, server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Show a project: its policy, members, last runs and model, and what it lacks for a run.

    \b
    Examples:
      foedus remote project lungs
    """
    _shown(server, output, "projects", project, "overview")


@app.command()
def data(project: Slug, server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Show what the members of a project contribute, and what it shares.

    \b
    Examples:
      foedus remote data lungs
    """
    _shown(server, output, "projects", project, "data")


@app.command()
def dataset(number: Number, server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Show one of your datasets.

    \b
    Examples:
      foedus remote dataset 3
    """
    _shown(server, output, "datasets", number)


@app.command()
def model(
    cid: CidArgument, project: Of = "", server: ServerOption = "", output: FormatOption = Format.TABLE
) -> None:
    """Show a version of a model: manifest, lineage, scores and ballot.

    \b
    Examples:
      foedus remote model bafkrei…
    """
    _shown(server, output, "models", cid, project=project)


@app.command("round")
def show_round(
    run: RunArgument,
    number: Annotated[int, typer.Argument(metavar="ROUND", min=0, help="Number of the round.")],
    server: ServerOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a round: where it stands, and what each client answered and voted.

    \b
    Examples:
      foedus remote round lungs-1 3
    """
    _shown(server, output, "runs", run, "rounds", number)


@app.command("app")
def show_app(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="See `foedus remote apps`.")],
    server: ServerOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Show an application with its parameters.

    \b
    Examples:
      foedus remote app SIM_RENDER
    """
    _shown(server, output, "applications", application)


@app.command()
def job(number: Number, server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Show one of your batch jobs, with the files it wrote.

    \b
    Examples:
      foedus remote job 12
    """
    _shown(server, output, "jobs", number)


@app.command("job-file")
def job_file(
    number: Number,
    name: Annotated[str, typer.Argument(metavar="FILE", help="As `foedus remote job` names it.")],
    path: Output,
    server: ServerOption = "",
) -> None:
    """Fetch a file that a batch job wrote.

    \b
    Examples:
      foedus remote job-file 12 report.html -o report.html
    """
    from foedus.client.remote.downloads import download

    with signed_in(server) as client:
        download(client.connection, ("jobs", number, "files"), {"name": name}, Path(path))
    say(f"Wrote {path} ({size_text(path.stat().st_size)}).")


# --- the chain ---


@app.command()
def blocks(server: ServerOption = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE) -> None:
    """List blocks of the chain, the newest first.

    \b
    Examples:
      foedus remote blocks --limit 10
    """
    listed(server, ("chain", "blocks"), ("number", "time", "hash", "transactions", "gas_used"), limit, output)


@app.command()
def block(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="Its number.")],
    server: ServerOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a block; `hidden` counts transactions of projects that you do not belong to.

    \b
    Examples:
      foedus remote block 7
    """
    _shown(server, output, "chain", "blocks", number)


@app.command("tx")
def transaction(
    tx: Annotated[str, typer.Argument(metavar="HASH", help="Hash of the transaction: 0x…")],
    server: ServerOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a transaction with its events.

    \b
    Examples:
      foedus remote tx 0x3f…
    """
    _shown(server, output, "chain", "transactions", tx)


# --- changes ---


@app.command()
def decide(
    project: Slug,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Who asked to be let in.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not let them in.")] = False,
    server: ServerOption = "",
) -> None:
    """Let people who asked into a project, or not.

    \b
    Examples:
      foedus remote decide lungs bob carol
      foedus remote decide lungs mallory --refuse
    """
    with signed_in(server) as client:
        body = {"names": names, "approve": not refuse}
        decided = client.connection.post("projects", project, "members", "decide", body=body)["decided"]
        say(f"{'Refused' if refuse else 'Let in'}: {decided} of {len(names)}.")


@app.command()
def role(
    project: Slug,
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="owner, lead, member or auditor.")],
    server: ServerOption = "",
) -> None:
    """Give a member of a project another role.

    \b
    Examples:
      foedus remote role lungs bob lead
    """
    with signed_in(server) as client:
        made = client.connection.patch("projects", project, "members", name, body={"role": role})
        say(f"{made['name']} is {made['role']} of {project}.")


@app.command()
def withdraw(number: Number, server: ServerOption = "") -> None:
    """Take one of your datasets out of use.

    \b
    Examples:
      foedus remote withdraw 3
    """
    with signed_in(server) as client:
        made = client.connection.post("datasets", number, "withdraw")
        say(f"Dataset {made['name']} is {made['state']}.")


@app.command()
def use(
    cid: CidArgument,
    project: Slug,
    title: Annotated[str, typer.Option("--title", help="What the project is called.")],
    goal: Annotated[str, typer.Option("--goal", help="What it is for.")] = "",
    of: Of = "",
    server: ServerOption = "",
) -> None:
    """Found a project whose runs begin with a version of a model.

    \b
    Examples:
      foedus remote use bafkrei… lungs-2 --title "Lungs, second part"
    """
    body = {"slug": project, "title": title, "goal": goal}
    with signed_in(server) as client:
        made = client.connection.post("models", cid, "projects", body=body, project=of)
        say(f"Founded {made['slug']}: {client.connection.url}/projects/{made['slug']}")

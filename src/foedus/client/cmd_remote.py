"""The commands about what lies on a platform: `foedus remote …`, with the words of the local ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foedus.client.cmd_login import ServerOption
from foedus.client.output import Format, print_json, print_table, say
from foedus.client.shell import FormatOption

if TYPE_CHECKING:
    from foedus.client.remote.client import Client

app = typer.Typer(
    help="Projects, runs, models and jobs of the platform that you are signed in to.", no_args_is_help=True
)

_MOST: Final = 50
Slug = Annotated[str, typer.Argument(metavar="PROJECT", help="Short name of the project.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where it goes.")]
Limit = Annotated[int, typer.Option("--limit", help="How many rows.", min=1, max=10_000)]
Words = Annotated[str, typer.Option("--search", "-q", metavar="WORDS", help="Only what contains this.")]
Of = Annotated[str, typer.Option("--project", metavar="PROJECT", help="Only of this project.")]


@contextmanager
def signed_in(server: str) -> "Iterator[Client]":
    """Open the platform that is meant. Raises `InvalidSpec` when one is signed in to none."""
    from foedus.client.remote.client import Client

    with Client.signed_in(server) as client:
        yield client


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...], output: Format) -> None:
    if output is Format.JSON:
        print_json(rows)
    elif not rows:
        say("nothing there")
    else:
        print_table(columns, [["" if row.get(c) is None else row[c] for c in columns] for row in rows])


def listed(
    server: str, path: tuple[str, ...], columns: tuple[str, ...], limit: int, output: Format, **query: str
) -> None:
    """Print the first items of a list; in a table, only what these columns name."""
    with signed_in(server) as client:
        _show(list(islice(client.connection.each(*path, **query), limit)), columns, output)


# --- lists ---


@app.command()
def projects(
    server: ServerOption = "", search: Words = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE
) -> None:
    """List your projects.

    \b
    Examples:
      foedus remote projects
    """
    listed(server, ("projects",), ("slug", "title", "role", "state", "members"), limit, output, q=search)


@app.command()
def members(
    project: Slug, server: ServerOption = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE
) -> None:
    """List the members of a project.

    \b
    Examples:
      foedus remote members lungs
    """
    columns = ("name", "role", "site", "state", "seen_at")
    listed(server, ("projects", project, "members"), columns, limit, output)


@app.command()
def datasets(server: ServerOption = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE) -> None:
    """List your datasets.

    \b
    Examples:
      foedus remote datasets --format json
    """
    listed(server, ("datasets",), ("id", "name", "kind", "state", "examples"), limit, output)


@app.command()
def runs(
    server: ServerOption = "", project: Of = "", search: Words = "", limit: Limit = _MOST,
    output: FormatOption = Format.TABLE,
) -> None:  # fmt: skip
    """List runs, the newest first.

    \b
    Examples:
      foedus remote runs --project lungs
    """
    path = ("projects", project, "runs") if project else ("runs",)
    listed(server, path, ("name", "state", "algorithm", "round", "rounds", "score"), limit, output, q=search)


@app.command()
def models(
    server: ServerOption = "", project: Of = "", search: Words = "", limit: Limit = _MOST,
    output: FormatOption = Format.TABLE,
) -> None:  # fmt: skip
    """List versions of models, the newest first.

    \b
    Examples:
      foedus remote models -q champion
    """
    columns = ("cid", "run", "version", "alias", "score", "project")
    listed(server, ("models",), columns, limit, output, q=search, project=project)


@app.command()
def rewards(
    server: ServerOption = "", project: Of = "", limit: Limit = _MOST,
    output: FormatOption = Format.TABLE,
) -> None:  # fmt: skip
    """Say who earned how much.

    \b
    Examples:
      foedus remote rewards --project lungs
    """
    columns = ("rank", "client", "project", "points", "registrations", "paid", "votes")
    listed(server, ("rewards",), columns, limit, output, project=project)


@app.command()
def ballots(server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """List the ballots that wait for your vote.

    \b
    Examples:
      foedus remote ballots
    """
    with signed_in(server) as client:
        found = [one.values for one in client.ballots()]
    _show(found, ("run", "round", "score", "base_score", "verdict"), output)


@app.command()
def apps(server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """List the applications that can be submitted.

    \b
    Examples:
      foedus remote apps
    """
    with signed_in(server) as client:
        _show(client.connection.get("applications")["items"], ("name", "title"), output)


@app.command()
def jobs(server: ServerOption = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE) -> None:
    """List your batch jobs of applications.

    \b
    Examples:
      foedus remote jobs
    """
    listed(server, ("jobs",), ("id", "application", "state", "created_at"), limit, output)


@app.command()
def transactions(
    server: ServerOption = "", search: Words = "", limit: Limit = _MOST, output: FormatOption = Format.TABLE
) -> None:
    """List transactions of the chain, the newest first; search by hash, address, CID or member.

    \b
    Examples:
      foedus remote transactions -q ada
    """
    columns = ("hash", "state", "function", "sender_name", "block")
    listed(server, ("chain", "transactions"), columns, limit, output, q=search)


@app.command()
def search(
    words: Annotated[str, typer.Argument(metavar="WORDS", help="A name, CID, hash, address or height.")],
    server: ServerOption = "",
) -> None:
    """Search everything that you may see; prints JSON.

    \b
    Examples:
      foedus remote search lungs-3
    """
    with signed_in(server) as client:
        print_json(client.search(words))

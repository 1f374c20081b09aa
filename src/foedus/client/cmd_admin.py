"""The commands of whoever runs a platform: admin migrate, backup, restore, users."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_table, say
from foedus.client.shell import FormatOption, HomeOption, open_shell

if TYPE_CHECKING:
    from foedus.server.backup import Backup

app = typer.Typer(help="Look after a platform: its database, its backups, its users.", no_args_is_help=True)


@app.command()
def migrate(home: HomeOption = None) -> None:
    """Bring the database up to this version. Stop web and worker and make a backup before.

    \b
    Examples:
      foedus admin migrate
    """
    from foedus.rounds.home import make_folder
    from foedus.server.db.engine import make_engine, newest_revision, revision_of
    from foedus.server.db.engine import migrate as migrate_tables
    from foedus.server.settings import database_url, server_settings

    settings = open_shell(home).settings
    make_folder(settings.home)
    engine = make_engine(database_url(settings, server_settings(settings)))
    try:
        migrate_tables(engine)
        say(f"the database is at revision {revision_of(engine) or newest_revision()}")
    finally:
        engine.dispose()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder for the copy.")],
    home: HomeOption = None,
) -> None:
    """Copy the home folder: database, chain, keys, store, settings, users. The platform may go on meanwhile.

    \b
    Examples:
      foedus admin backup /backup/foedus-monday
    """
    from foedus.server.backup import back_up

    _tell(back_up(open_shell(home).settings, folder.expanduser()), f"backed up to {folder}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the backup.")],
    home: HomeOption = None,
) -> None:
    """Put a backup into a new or empty home folder, after comparing every file with its sum.

    \b
    Examples:
      foedus admin restore /backup/foedus-monday --home /var/lib/foedus
    """
    from foedus.server.backup import restore as put_back

    root = open_shell(home).settings.home
    _tell(put_back(folder.expanduser().absolute(), root), f"restored into {root}")


@app.command()
def users(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the accounts of the platform.

    \b
    Examples:
      foedus admin users
    """
    from sqlalchemy import select

    from foedus.server.db import User
    from foedus.server.listing import plain
    from foedus.server.platform import open_platform

    with open_platform(open_shell(home).settings) as platform, platform.reading() as db:
        found = [
            {
                "name": user.name,
                "display_name": user.display_name,
                "site": user.site,
                "state": user.state,
                "is_admin": user.is_admin,
                "seen_at": plain(user.seen_at),
            }
            for user in db.scalars(select(User).order_by(User.name))
        ]
    if output is Format.JSON:
        print_json(found)
        return
    titles = ("name", "full name", "site", "state", "administrator", "seen")
    print_table(titles, [[_cell(value) for value in row.values()] for row in found])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value or "–")


def _tell(done: "Backup", what: str) -> None:
    say(f"{what}: {done.files:,} files, {done.size_bytes / 1e6:,.1f} MB")
    if done.hint:
        say(done.hint, "yellow")

"""What web and worker processes have in common: settings, home folder, database and store, opened once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Engine, inspect

from foedus.rounds.home import Home, make_folder
from foedus.server.db import utc_now
from foedus.server.db.engine import Sessions, make_engine, migrate, require_current, sessions_of
from foedus.server.settings import ServerSection, ServerSettings, database_url, server_settings
from foedus.site.settings import Settings
from foedus.store import DirectoryStore


@dataclass(frozen=True, slots=True)
class Platform:
    """An opened platform. `writing` and `reading` open transactions; use `reading` where nothing changes."""

    site: Settings
    settings: ServerSettings
    home: Home
    engine: Engine
    writing: Sessions
    reading: Sessions
    store: DirectoryStore
    now: Callable[[], datetime] = utc_now

    @property
    def server(self) -> ServerSection:
        """The settings of the section `[server]`."""
        return self.settings.server

    def told(self, **server: object) -> "Platform":
        """Return the platform with settings of `[server]` as the command line says them."""
        told = self.server.model_copy(update=server)
        origin = {**self.site.origin, **{f"server.{key}": "command line" for key in server}}
        settings = self.settings.model_copy(update={"server": told})
        return replace(self, site=replace(self.site, origin=origin), settings=settings)

    def user_home(self, name: str) -> Home:
        """Return the folder that holds one person's datasets and batch jobs, in the form of a home folder."""
        return Home(self.home.root / "users" / name)


@contextmanager
def open_platform(site: Settings, may_migrate: bool = False) -> Iterator[Platform]:
    """Open database and store of a home folder.

    A new database gets its tables; an old one only with `may_migrate`. Raises `FoedusError` otherwise.
    """
    settings = server_settings(site)
    make_folder(site.home)
    engine = make_engine(database_url(site, settings))
    try:
        if may_migrate or _is_empty(engine):
            migrate(engine)
        require_current(engine)
        home = Home(site.home)
        yield Platform(
            site,
            settings,
            home,
            engine,
            sessions_of(engine),
            sessions_of(engine, reads_only=True),
            DirectoryStore(home.store),
        )
    finally:
        engine.dispose()


def _is_empty(engine: Engine) -> bool:
    return not inspect(engine).get_table_names()

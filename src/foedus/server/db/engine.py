"""The engine for SQLite or PostgreSQL, and one transaction at a time."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, func, select
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from foedus.chain.files import check_filesystem
from foedus.core.errors import FoedusError, InvalidSpec

Sessions: TypeAlias = Callable[[], AbstractContextManager[Session]]
"""Opens a transaction: committed when the block ends, rolled back when it raises."""

_BUSY_S: Final = 15.0  # that long a writer waits for another one
_MIGRATING: Final = 8_640_2026  # of PostgreSQL's advisory lock
_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def make_engine(url: str) -> Engine:
    """Open a database. Raises `InvalidSpec` for an unusable URL, and for SQLite on a network file system."""
    try:
        if url.startswith("sqlite"):
            return _sqlite(url)
        if url.startswith("postgresql"):
            return create_engine(
                url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True, pool_size=10
            )
    except (ArgumentError, ImportError) as error:
        raise InvalidSpec(
            f"the database cannot be opened: {error}",
            "PostgreSQL needs the extra: pip install 'foedus[postgres]'.",
        ) from error
    raise InvalidSpec(
        "the database must be SQLite or PostgreSQL",
        "For example sqlite:////var/lib/foedus/platform.sqlite or postgresql://user@host/foedus.",
    )


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False})
    if engine.url.database:
        check_filesystem(Path(engine.url.database))

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's `begin` below says how transactions start
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own signature
        # a transaction that reads first and writes later would fail at once when another one wrote between
        is_reading = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")

    return engine


def sessions_of(engine: Engine, reads_only: bool = False) -> Sessions:
    """Return what opens transactions. Those that only read do not wait for writers."""
    bound = engine.execution_options(reads_only=True) if reads_only else engine
    maker = sessionmaker(bound, expire_on_commit=False)

    @contextmanager
    def opened() -> Iterator[Session]:
        with maker.begin() as session:
            yield session

    return opened


def migrate(engine: Engine) -> None:
    """Bring the tables up to this version; of several processes at once, one does it and the others wait.

    Raises `FoedusError` where the database does not answer, or belongs to a newer version.
    """
    config = _config()
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE waits by itself
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            found = MigrationContext.configure(connection).get_current_revision()
            require_known(found)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise FoedusError(
            f"the database does not answer: {error.orig}", "Check `server.database` and that it runs."
        ) from error


def revision_of(engine: Engine) -> str | None:
    """Return the revision that the tables have; None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str:
    """Return the revision that this version of Foedus needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def require_current(engine: Engine) -> None:
    """Raise `FoedusError` unless the tables are those of this version."""
    found = revision_of(engine)
    require_known(found)
    if found != newest_revision():
        raise FoedusError(
            f"the database is at revision {found or 'none'}, this version needs {newest_revision()}",
            "Stop web and worker, make a backup, and run `foedus admin migrate`.",
        )


def require_known(revision: str | None) -> None:
    """Raise `FoedusError` for a revision that only a newer version of Foedus has."""
    known = {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise FoedusError(
            f"the database is at revision {revision}, which this version does not know",
            "It was migrated by a newer version: install that one, or restore the backup from before.",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s")
    return config

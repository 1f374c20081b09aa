"""Migrations: what they make is what the models say, on both databases; no step loses a row."""

import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    inspect,
    select,
)
from sqlalchemy.types import TypeEngine
from tests.server.postgres import Postgres

import foedus.server.db.engine as engine_module
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.server.db import Base
from foedus.server.db.engine import make_engine, migrate, newest_revision, require_current, revision_of
from foedus.server.platform import open_platform
from foedus.site.settings import read_settings

MIGRATIONS = Path(engine_module.__file__).with_name("migrations")


def config() -> Config:
    found = Config()
    found.set_main_option("script_location", str(MIGRATIONS))
    return found


def steps() -> list[str]:
    """All revisions, the oldest first."""
    return [one.revision for one in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


@pytest.fixture
def url(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    found = server.new_database(has_tables=False)
    yield found
    server.drop(found)


@pytest.fixture
def empty(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    yield engine
    engine.dispose()


def go(engine: Engine, revision: str, is_down: bool = False) -> None:
    wanted = config()
    with engine.begin() as connection:
        wanted.attributes["connection"] = connection
        (command.downgrade if is_down else command.upgrade)(wanted, revision)


def value_of(kind: TypeEngine[Any], number: int) -> object:
    match kind:
        case Boolean():
            return True
        case Integer():
            return number
        case Float():
            return 0.5
        case DateTime():
            return datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        case JSON():
            return {"a": [1]}
        case LargeBinary():
            return b"bytes"
    return f"text {number}"[: getattr(kind, "length", None)]


def fill(engine: Engine) -> dict[str, int]:
    """Put a row into every table there is. Returns how many rows each has."""
    found = MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        for table in found.sorted_tables:
            if table.name != "alembic_version":
                row = {c.name: value_of(c.type, 1) for c in table.columns}
                row |= {c.name: 1 for c in table.columns if c.foreign_keys}
                connection.execute(table.insert().values(row))
    return count(engine)


def count(engine: Engine) -> dict[str, int]:
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {name: len(connection.execute(select(table)).all()) for name, table in found.tables.items()}


def test_from_empty_they_make_what_the_models_say(empty: Engine) -> None:
    migrate(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert revision_of(empty) == newest_revision()
    wanted = {name for name, table in Base.metadata.tables.items() if isinstance(table, Table)}
    assert set(inspect(empty).get_table_names()) == wanted | {"alembic_version"}


def test_each_table_has_the_foreign_keys_of_its_model(empty: Engine) -> None:
    migrate(empty)
    for name, table in Base.metadata.tables.items():
        there = {
            (tuple(k["constrained_columns"]), k["referred_table"])
            for k in inspect(empty).get_foreign_keys(name)
        }
        assert there == {((key.parent.name,), key.column.table.name) for key in table.foreign_keys}, name


def test_each_step_keeps_a_row_in_every_table(empty: Engine) -> None:
    first, *later = steps()
    go(empty, first)
    before = fill(empty)
    for revision in later:
        go(empty, revision)
    after = count(empty)
    assert {name: rows for name, rows in before.items() if after.get(name, rows) != rows} == {}
    assert set(before) <= set(after), "a table is gone with its rows"


def test_each_step_can_be_taken_back_and_again(empty: Engine) -> None:
    for revision in steps():
        go(empty, revision)
        go(empty, "-1", is_down=True)
        go(empty, revision)
    with empty.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_there_is_one_line_of_revisions() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1


def test_migrating_what_is_current_changes_nothing(empty: Engine) -> None:
    migrate(empty)
    before = fill(empty)
    migrate(empty)
    assert count(empty) == before


def test_an_older_database_is_refused_with_what_to_do(empty: Engine) -> None:
    with pytest.raises(FoedusError, match="revision none") as caught:
        require_current(empty)
    assert "foedus admin migrate" in caught.value.hint


def test_a_newer_database_is_refused_and_left_alone(empty: Engine) -> None:
    migrate(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '2999_future'")
    for attempt in (require_current, migrate):
        with pytest.raises(FoedusError, match="2999_future") as caught:
            attempt(empty)
        assert "newer version" in caught.value.hint
    assert revision_of(empty) == "2999_future"


def test_an_older_database_is_migrated_only_when_asked(url: str, tmp_path: Path) -> None:
    engine = make_engine(url)
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    engine.dispose()
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[server]\ndatabase = "{url}"\n')
    with (
        pytest.raises(FoedusError, match="needs"),
        open_platform(read_settings(home, environ={})),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_processes_that_begin_at_once_on_an_empty_database_all_start(url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[server]\ndatabase = "{url}"\n')
    code = (
        "import sys; from pathlib import Path; from foedus.server.platform import open_platform; "
        "from foedus.site.settings import read_settings; print('ready', flush=True); sys.stdin.readline()\n"
        f"with open_platform(read_settings(Path({str(home)!r}), environ={{}})): pass"
    )
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in begun:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], said


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite", "postgresql+nodriver://x"])
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidSpec):
        make_engine(url)


def test_a_database_that_does_not_answer_is_told_without_a_traceback() -> None:
    engine = make_engine("postgresql://foedus@/x?host=/nowhere")
    with pytest.raises(FoedusError, match="does not answer"):
        migrate(engine)

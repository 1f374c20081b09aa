"""Backups: whole while the platform runs, private, and restored only where they harm nothing."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person
from typer.testing import CliRunner

from foedus.client.cli import app as cli
from foedus.core.errors import FoedusError
from foedus.server.backup import CONTENTS, back_up, restore
from foedus.server.db import Project, User
from foedus.server.platform import Platform, open_platform
from foedus.site.settings import read_settings
from foedus.store import get_manifest

pytestmark = pytest.mark.slow
ON_SQLITE = pytest.mark.parametrize("database_kind", ["sqlite"])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
def copy(platform: Platform, story: Story, target: Path) -> Path:
    """A backup of a platform that is open."""
    users = platform.user_home("alice").root
    (users / "data").mkdir(parents=True)
    (users / "data" / "rows.csv").write_text("1,2\n")
    (users / "run.sh").write_text("true")
    (users / "run.sh").chmod(0o755)
    (users / "elsewhere").symlink_to("/etc/passwd")
    back_up(platform.site, target)
    return target


def all_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@ON_SQLITE
def test_what_is_restored_reads_as_before(copy: Path, story: Story, tmp_path: Path) -> None:
    restored = tmp_path / "new" / "home"
    restore(copy, restored)
    with open_platform(read_settings(restored, environ={})) as platform, platform.reading() as db:
        assert db.scalars(select(User.name)).all() == ["alice"]
        assert db.scalars(select(Project.slug)).all() == ["lungs"]
        manifest = get_manifest(platform.store, story.second)
        assert platform.store.get(manifest.weights)
        assert (platform.user_home("alice").root / "data" / "rows.csv").read_text() == "1,2\n"
    with closing(sqlite3.connect(restored / "chain.sqlite")) as chain:
        assert chain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not (restored / "users" / "alice" / "elsewhere").exists(), "links are not followed"


@ON_SQLITE
def test_nothing_of_it_is_readable_by_others(copy: Path, tmp_path: Path) -> None:
    restored = tmp_path / "home2"
    restore(copy, restored)
    for top in (copy, restored):
        for path in (top, *top.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0, path
    assert (restored / "users" / "alice" / "run.sh").stat().st_mode & 0o777 == 0o700


@ON_SQLITE
def test_neither_writes_into_what_is_not_empty(copy: Path, platform: Platform, tmp_path: Path) -> None:
    before = all_files(copy)
    with pytest.raises(FoedusError, match="not empty"):
        back_up(platform.site, copy)
    assert all_files(copy) == before
    with pytest.raises(FoedusError, match="not empty"):
        restore(copy, platform.home.root)
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(copy, empty)


def test_a_backup_lies_outside_of_the_home_folder(platform: Platform) -> None:
    for folder in (platform.home.root / "backup", platform.home.root, platform.home.root.parent):
        with pytest.raises(FoedusError, match="outside"):
            back_up(platform.site, folder)


def damage_file(copy: Path) -> None:
    (copy / "home" / "users" / "alice" / "data" / "rows.csv").write_text("9,9\n")


def lose_file(copy: Path) -> None:
    (copy / "home" / "platform.sqlite").unlink()


def lose_contents(copy: Path) -> None:
    (copy / CONTENTS).unlink()


def lead_outside(copy: Path) -> None:
    contents = json.loads((copy / CONTENTS).read_text())
    contents["files"]["../evil"] = "0"
    (copy / CONTENTS).write_text(json.dumps(contents))


def be_from_the_future(copy: Path) -> None:
    contents = json.loads((copy / CONTENTS).read_text())
    contents["form"] = 99
    (copy / CONTENTS).write_text(json.dumps(contents))


@ON_SQLITE
@pytest.mark.parametrize("harm", [damage_file, lose_file, lose_contents, lead_outside, be_from_the_future])
def test_a_damaged_backup_leaves_nothing_behind(harm, copy: Path, tmp_path: Path) -> None:  # noqa: ANN001
    harm(copy)
    restored = tmp_path / "deep" / "home"
    with pytest.raises(FoedusError):
        restore(copy, restored)
    assert not restored.exists()
    assert not (tmp_path / "evil").exists()
    assert list((tmp_path / "deep").iterdir() if (tmp_path / "deep").exists() else []) == []


@ON_SQLITE
def test_a_database_of_a_newer_version_is_not_restored(
    platform: Platform, target: Path, tmp_path: Path
) -> None:
    with platform.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '2999_future'")
    back_up(platform.site, target)
    with pytest.raises(FoedusError, match="2999_future"):
        restore(target, tmp_path / "home2")
    assert not (tmp_path / "home2").exists()


@ON_SQLITE
def test_a_copy_made_while_others_write_holds_whole_transactions(
    platform: Platform, alice: Person, target: Path, tmp_path: Path
) -> None:
    is_over = threading.Event()

    def write() -> None:
        number = 0
        while not is_over.is_set():
            with platform.writing() as db:
                for side in ("left", "right"):
                    db.add(Project(slug=f"{side}-{number}", title="", draft={}))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        back_up(platform.site, target)
    finally:
        is_over.set()
        writer.join()
    restore(target, tmp_path / "home2")
    with open_platform(read_settings(tmp_path / "home2", environ={})) as copy, copy.reading() as db:
        slugs = db.scalars(select(Project.slug)).all()
    assert len([slug for slug in slugs if slug.startswith("left")]) * 2 == len(slugs)


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_postgresql_is_left_to_its_own_tools_with_a_hint(
    platform: Platform, target: Path, tmp_path: Path
) -> None:
    assert "pg_dump" in back_up(platform.site, target).hint
    assert "own copy" in restore(target, tmp_path / "home2").hint


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["admin", *arguments])
    return done.exit_code, done.output


@ON_SQLITE
def test_commands_back_up_restore_migrate_and_list(alice: Person, platform: Platform, tmp_path: Path) -> None:
    home, new = str(platform.home.root), str(tmp_path / "new")
    code, said = run("backup", str(tmp_path / "b"), "--home", home)
    assert (code, "backed up" in said) == (0, True)
    code, said = run("restore", str(tmp_path / "b"), "--home", new)
    assert (code, "restored" in said) == (0, True)
    assert run("restore", str(tmp_path / "b"), "--home", new)[0] == 1
    code, said = run("users", "--home", new, "--format", "json")
    assert code == 0
    assert [(user["name"], user["state"]) for user in json.loads(said)] == [("alice", "active")]
    assert "alice" in run("users", "--home", new)[1]
    shutil.rmtree(new)
    code, said = run("migrate", "--home", new)
    assert (code, "at revision" in said) == (0, True)

"""A platform in a temporary home folder, and browsers and programs that talk to it without a network."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.server.chains import Story, link, live_story, tell_story
from tests.server.people import Person, make_person
from tests.server.postgres import Postgres, running_postgres

from foedus.server.app import create_app
from foedus.server.auth import passwords
from foedus.server.db.engine import make_engine, migrate
from foedus.server.platform import Platform, open_platform
from foedus.site.settings import Settings, read_settings

ENGINES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on both databases; slow ones on SQLite alone, unless they ask for `database_kind`.

    With `FOEDUS_EVERY_DATABASE=1` slow ones run on both, too.
    """
    if "database_kind" not in metafunc.fixturenames:
        return
    asked = any("database_kind" in str(m.args[0]) for m in metafunc.definition.iter_markers("parametrize"))
    if not asked:
        is_slow = metafunc.definition.get_closest_marker("slow") is not None
        is_spared = is_slow and os.environ.get("FOEDUS_EVERY_DATABASE") != "1"
        metafunc.parametrize("database_kind", ENGINES[:1] if is_spared else ENGINES)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of these tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables and no rows: copying it is faster than making them."""
    path = tmp_path_factory.mktemp("template") / "platform.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def site(
    tmp_path: Path, database_kind: str, sqlite_template: Path, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """The settings of a home folder whose database has its tables."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    if database_kind == "sqlite":
        shutil.copy(sqlite_template, home / "platform.sqlite")
        yield read_settings(home, environ={})
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    (home / "config.toml").write_text(f'[server]\ndatabase = "{url}"\n')
    yield read_settings(home, environ={})
    server.drop(url)


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords quickly: what they cost a thief is not what these tests are about."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def platform(site: Settings) -> Iterator[Platform]:
    with open_platform(site) as opened:
        yield opened


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def person(app: FastAPI, platform: Platform) -> Iterator[Callable[..., Person]]:
    """Make somebody with an active account, signed in: `person("alice", is_admin=True)`."""
    made: list[Person] = []

    def make(name: str, is_admin: bool = False) -> Person:
        made.append(make_person(app, platform, name, is_admin))
        return made[-1]

    yield make
    for one in made:
        one.browser.close()
        one.program.close()


@pytest.fixture
def alice(person: Callable[..., Person]) -> Person:
    return person("alice")


@pytest.fixture
def stranger(person: Callable[..., Person]) -> Person:
    """Somebody with an account who belongs to no project."""
    return person("mallory")


@pytest.fixture
def project(alice: Person, platform: Platform) -> str:
    """A project that Alice owns; returns its slug."""
    answer = alice.program.post("/api/v1/projects", json={"slug": "lungs", "title": "Lungs"})
    assert answer.status_code == 201, answer.text
    return "lungs"


@pytest.fixture(scope="session")
def told_story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell_story(tmp_path_factory.mktemp("story"))


@pytest.fixture
def story(platform: Platform, project: str, told_story: Story) -> Story:
    """Two projects on an indexed chain: `lungs`, which is Alice's `project`, and one of people unknown."""
    live_story(platform, told_story)
    link(platform, project, 1)
    return told_story


@pytest.fixture
def nobody(app: FastAPI) -> Iterator[TestClient]:
    """A browser in which nobody is signed in."""
    with TestClient(app, base_url="http://testserver", follow_redirects=False) as client:
        yield client

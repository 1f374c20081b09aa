"""A platform in a temporary home folder, and browsers and programs that talk to it without a network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.server.people import Person, make_person

from foedus.server.app import create_app
from foedus.server.platform import Platform, open_platform
from foedus.site.settings import read_settings


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    home = tmp_path / "home"
    with open_platform(read_settings(home, environ={})) as opened:
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


@pytest.fixture
def nobody(app: FastAPI) -> Iterator[TestClient]:
    """A browser in which nobody is signed in."""
    with TestClient(app, base_url="http://testserver", follow_redirects=False) as client:
        yield client

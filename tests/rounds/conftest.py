"""Fixtures of the tests of `foedus.rounds`."""

import pytest
from tests.rounds.project import World, build_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A published project with a version 0."""
    return build_world(tmp_path_factory.mktemp("project"))

"""Launchers for the tests: one shared by a module, and one with a single worker for each test that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from launch_helpers import ENTRY, Jobs

from foedus.launch import LocalLauncher


@pytest.fixture(scope="module")
def shared_launcher() -> Iterator[LocalLauncher]:
    with LocalLauncher(ENTRY, workers=2, setup="launch_entries:set_up") as launcher:
        yield launcher


@pytest.fixture
def jobs(shared_launcher: LocalLauncher, tmp_path: Path) -> Jobs:
    return Jobs(shared_launcher, tmp_path)


@pytest.fixture
def own_jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs on a launcher with a single worker, for tests that need to know which worker it is."""
    with LocalLauncher(ENTRY, workers=1) as launcher:
        yield Jobs(launcher, tmp_path)

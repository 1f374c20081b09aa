"""A fake API server for one test, and a scheduler that talks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.fake_api import FakeApi, fake_api
from tests.kubernetes.makers import site_of

from foedus.launch.kubernetes import KubernetesScheduler


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as made:
        yield made


@pytest.fixture
def scheduler(api: FakeApi, tmp_path: Path) -> KubernetesScheduler:
    return KubernetesScheduler(site_of(api, tmp_path, tmp_path, grace_s=1, timeout_s=2.0))

import os

import pytest

_OF_TESTS = ("FOEDUS_SHARED", "FOEDUS_REQUIRE_ALL", "FOEDUS_DEVICE")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings of Foedus; tests must not see them."""
    for name in list(os.environ):
        if name.startswith("FOEDUS_") and name not in _OF_TESTS:
            monkeypatch.delenv(name)

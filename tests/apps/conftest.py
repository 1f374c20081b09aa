import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings of Foedus; tests must not see them."""
    for name in list(os.environ):
        if name.startswith("FOEDUS_") and name not in ("FOEDUS_SHARED", "FOEDUS_REQUIRE_ALL"):
            monkeypatch.delenv(name)

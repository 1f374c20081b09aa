"""The published cases lie outside the repository: FOEDUS_SHARED, or `shared` beside the checkout."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("FOEDUS_SHARED") or Path(__file__).parents[2] / "shared")


def case_file(name: str) -> Path:
    """Return the path of `cases/<name>`; without it the test is skipped, or fails if FOEDUS_REQUIRE_ALL=1."""
    path = SHARED / "cases" / name
    if not path.is_file():
        if os.environ.get("FOEDUS_REQUIRE_ALL") == "1":
            pytest.fail(f"required case file {name} is not in {path.parent}")
        pytest.skip(f"case file {name} is not in {path.parent} (set FOEDUS_SHARED)", allow_module_level=True)
    return path

"""The published cases lie outside the repository: FOEDUS_SHARED, or `shared` beside the checkout."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(os.environ.get("FOEDUS_SHARED") or Path(__file__).parents[2] / "shared")


def missing(what: str) -> NoReturn:
    """Skip the test by name for want of something; fail it where all must be there (FOEDUS_REQUIRE_ALL=1)."""
    if os.environ.get("FOEDUS_REQUIRE_ALL") == "1":
        pytest.fail(f"required, but missing: {what}")
    pytest.skip(f"missing: {what}", allow_module_level=True)  # a checkout alone lacks the shared files


def case_file(name: str) -> Path:
    """Return the path of `cases/<name>`; see `missing`."""
    path = SHARED / "cases" / name
    if not path.is_file():
        missing(f"case file {name} in {path.parent} (set FOEDUS_SHARED)")
    return path

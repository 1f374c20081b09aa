"""Require a share of executed lines in each of some packages. Says nothing when all have it.

python scripts/check_coverage.py PERCENT PACKAGE...      (packages below foedus; reads `.coverage`)
"""

import io
import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

SOURCES = Path(__file__).resolve().parents[1] / "src" / "foedus"


def main(required: float, packages: list[str]) -> None:
    """End with status 1 and the lines that never ran when a package falls short."""
    coverage = Coverage()
    coverage.load()
    is_enough = True
    for package in packages:
        table = io.StringIO()
        try:
            percent = coverage.report(
                include=[f"{SOURCES / package}/*"], file=table, show_missing=True, skip_covered=True
            )
        except NoDataError:
            percent = 0.0
        if percent < required:
            is_enough = False
            sys.stderr.write(
                f"\n{table.getvalue()}foedus.{package}: {percent:.1f} % of lines ran, not {required:g} %\n"
            )
    if not is_enough:
        sys.exit(1)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])

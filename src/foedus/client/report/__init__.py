"""The report of a run: one HTML file that needs no network, and its curves as a picture beside it."""

import os
import tempfile
from pathlib import Path

from foedus.rounds.home import Home

__all__ = ["write_file", "write_report"]

CURVES = "curves.png"


def write_report(home: Home, name: str, target: Path | None = None) -> Path:
    """Write the report of a run, finished or not, and return its path.

    `target` is the HTML file (default: `report.html` in the run's folder); `curves.png` lies beside it.
    Raises `InvalidSpec` for an unknown run, `ChainDamaged` when the chain cannot be read.
    """
    from foedus.client.report.curves import draw_curves
    from foedus.client.report.page import render_report
    from foedus.rounds.summary import summarise_run

    path = target or home.run_folder(name) / "report.html"
    summary = summarise_run(home, name)
    curves = draw_curves(summary)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path.with_name(CURVES), curves)
    write_file(path, render_report(summary, curves).encode())
    return path


def write_file(path: Path, data: bytes) -> None:
    """Put the whole file in place at once, so that whoever has the old one open never sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

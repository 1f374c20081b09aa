"""The log file in the home folder, and what is said about an error that nobody foresaw."""

import logging
import os
import sys
import tempfile
import traceback
from pathlib import Path

from foedus.client.output import console, one_line, printable

LOG_FILE = "foedus.log"
_LOG = logging.getLogger("foedus")


class _HomeLog(logging.FileHandler):
    """Writes to the log file if that is possible; a log that cannot be written stops nobody."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let it be."""


def direct_log(home: Path, level: str) -> None:
    """Direct the log into the home folder, from this level on. The file appears with the first line."""
    for old in list(_LOG.handlers):
        _LOG.removeHandler(old)
        old.close()
    handler = _HomeLog(home / LOG_FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    _LOG.addHandler(handler)
    _LOG.propagate = False
    _LOG.setLevel(level.upper())


def report_defect(error: Exception, debug: bool) -> None:
    """Say that something is wrong with Foedus itself, and where the traceback is."""
    err = console(sys.stderr)
    line = one_line(f"unexpected error: {type(error).__name__}: {error}")
    err.print(line, style="bold red", markup=False)
    if debug:
        err.print(printable("".join(traceback.format_exception(error))), markup=False, soft_wrap=True)
        return
    path = _keep_traceback(error)
    hint = f"This is a fault of Foedus. The traceback is in {path}; `foedus --debug …` prints it."
    err.print(printable(hint), style="dim", markup=False, soft_wrap=True)


def _keep_traceback(error: Exception) -> Path:
    text = "".join(traceback.format_exception(error))
    for handler in _LOG.handlers:
        path = Path(getattr(handler, "baseFilename", os.devnull))
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            return path
        except OSError:
            continue  # a home folder that cannot be written to, or is not there yet
    handle, name = tempfile.mkstemp(prefix="foedus-", suffix=".log", text=True)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)

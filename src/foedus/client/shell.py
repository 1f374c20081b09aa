"""What all commands share: options, settings, the log file, and what becomes of errors."""

import logging
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from foedus.client.output import Format, console, print_error
from foedus.client.settings import Settings, read_settings
from foedus.core.errors import FoedusError
from foedus.rounds.home import Home

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

LOG_FILE = "foedus.log"
_USAGE_ERROR = cast(
    "type[Exception]", typer.BadParameter.__bases__[0]
)  # Typer keeps this class elsewhere in each version

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="FOLDER", help="Home folder; else FOEDUS_HOME, else ~/.foedus.", show_default=False
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder with the four MNIST idx files, instead of the data that the spec names.",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Table for people, JSON for programs.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, e.g. mnist-1.")]
CidArgument = Annotated[str, typer.Argument(metavar="CID", help="Content id: bafkrei… or bafybei…")]


@dataclass(frozen=True, slots=True)
class Shell:
    """One command's surroundings."""

    settings: Settings
    home: Home

    @property
    def home_option(self) -> str:
        """What to append to a command so that it finds this home folder."""
        if self.settings.origin["home"] != "command line":
            return ""
        text = str(self.home.root)
        below = os.path.relpath(text)
        return f" --home {below if len(below) < len(text) and not below.startswith('..') else text}"


def open_shell(home: Path | None, data: Path | None = None) -> Shell:
    """Read the settings, once, and direct the log into the home folder. Raises `InvalidSpec`."""
    settings = read_settings(home, data)
    _direct_log(settings)
    return Shell(settings, Home(settings.home))


class FoedusGroup(TyperGroup):
    """The root command: turns errors into one clear message and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _USAGE_ERROR):
            raise
        except FoedusError as error:
            print_error(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            console(sys.stderr).print("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:  # the reader of our output, e.g. `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from error
        except OSError as error:
            print_error(_explained(error))
            raise typer.Exit(1) from error
        except Exception as error:
            _report_defect(error, bool(ctx.params.get("debug")))
            raise typer.Exit(1) from error


def _explained(error: OSError) -> FoedusError:
    where = f" {error.filename}" if error.filename else ""
    return FoedusError(f"cannot use{where or ' a file'}: {error.strerror or error}")


def _report_defect(error: Exception, debug: bool) -> None:
    """Say that something is wrong with Foedus itself, and where the traceback is."""
    err = console(sys.stderr)
    err.print(f"unexpected error: {type(error).__name__}: {error}", style="bold red", markup=False)
    if debug:
        err.print("".join(traceback.format_exception(error)), markup=False, soft_wrap=True)
        return
    path = _keep_traceback(error)
    hint = f"This is a fault of Foedus. The traceback is in {path}; `foedus --debug …` prints it."
    err.print(hint, style="dim", markup=False, soft_wrap=True)


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


# --- the log ---

_LOG = logging.getLogger("foedus")


class _HomeLog(logging.FileHandler):
    """Writes to the log file if that is possible; a log that cannot be written stops nobody."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let it be."""


def _direct_log(settings: Settings) -> None:
    for old in list(_LOG.handlers):
        _LOG.removeHandler(old)
        old.close()
    handler = _HomeLog(settings.home / LOG_FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    _LOG.addHandler(handler)
    _LOG.propagate = False
    _LOG.setLevel(settings.log_level.upper())

"""What all commands share: options, settings, and what becomes of errors."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperGroup

from foedus.client.files import be_private
from foedus.client.output import Format, console, print_error
from foedus.core.errors import FoedusError

if TYPE_CHECKING:
    from foedus.rounds.home import Home
    from foedus.site.settings import Settings

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

# Typer keeps this class in another place in each version; here its own subclass leads to it.
_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__bases__[0])

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
LauncherOption = Annotated[
    str | None,
    typer.Option(
        "--launcher",
        metavar="NAME",
        help="What runs batch jobs: local, slurm or kubernetes; else what config.toml says.",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Table for people, JSON for programs.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, e.g. mnist-1.")]
CidArgument = Annotated[str, typer.Argument(metavar="CID", help="Content id: bafkrei… or bafybei…")]


class Shell(NamedTuple):
    """One command's surroundings."""

    settings: "Settings"
    home: "Home"

    @property
    def home_option(self) -> str:
        """What to append to a command so that it finds this home folder, quoted as the shell needs it."""
        if self.settings.origin["home"] != "command line":
            return ""
        text = str(self.home.root)
        below = os.path.relpath(text)
        shortest = below if len(below) < len(text) and not below.startswith("..") else text
        return f" --home {shlex.quote(shortest)}"


def program() -> str:
    """How the reader can call this program: by name where the shell finds it, else by its path."""
    called = Path(sys.argv[0])
    if called.name != "foedus" or shutil.which("foedus"):
        return "foedus"
    path = os.path.relpath(called)
    return shlex.quote(str(called.absolute()) if path.startswith("..") else path)


def open_shell(home: Path | None, data: Path | None = None, launcher: str | None = None) -> Shell:
    """Read the settings, once, and direct the log into the home folder. Raises `InvalidSpec`."""
    from foedus.client.log import direct_log
    from foedus.rounds.home import Home
    from foedus.site.settings import read_settings

    be_private()
    settings = read_settings(home, data, launcher=launcher)
    direct_log(settings.home, settings.log_level)
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
            from foedus.client.log import report_defect

            report_defect(error, bool(ctx.params.get("debug")))
            raise typer.Exit(1) from error


def _explained(error: OSError) -> FoedusError:
    where = f" {error.filename}" if error.filename else ""
    return FoedusError(f"cannot use{where or ' a file'}: {error.strerror or error}")

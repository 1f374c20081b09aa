"""What a launcher must know of a site's Slurm."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Container:
    """The image that the program runs in. `image` and `binds` are absolute paths on compute nodes."""

    image: str
    runtime: Literal["apptainer", "charliecloud"] = "apptainer"
    binds: tuple[str, ...] = ()  # folders seen inside under the same path


@dataclass(frozen=True, slots=True)
class SlurmRest:
    """A slurmrestd that stands in for Slurm's commands.

    `url` is `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`, `version` what its paths begin with:
    `v0.0.38`, or `v0.0.40` and above. `token_file` holds the user's token and nobody else may read it; it is
    read anew for each question, so that it can be replaced at any time.
    """

    url: str
    token_file: Path
    version: str = "v0.0.38"
    user: str = ""  # whose token it is; empty: the user that we run as


@dataclass(frozen=True, slots=True)
class SlurmSite:
    """How batch jobs are to be submitted here. What a job asks for is in its `Resources`.

    `modules` are loaded in order, then `prologue`, the site's own shell text, is run, both before the program
    and outside the container. `warning_s`: so long before its time limit a job is told to write a checkpoint.
    """

    cluster: str = ""  # of a federation of clusters; empty: the default one
    commands: Path | None = None  # folder of sbatch and the others; None: found on PATH
    modules: tuple[str, ...] = ()
    prologue: str = ""
    container: Container | None = None
    warning_s: int = 120
    timeout_s: float = 10.0  # of each command, or question to slurmrestd
    rest: SlurmRest | None = None  # None: by Slurm's commands

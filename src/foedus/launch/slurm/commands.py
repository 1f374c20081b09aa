"""Slurm's commands: run one with a time limit, in a minimal environment, and judge how it ended."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from foedus.launch.cluster import Refused, Unreachable
from foedus.launch.slurm.site import SlurmSite

_LIMIT_CHARACTERS = 32 << 20
_SAID_CHARACTERS = 500
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH", "TZ", "SLURM_CONF", "SLURM_JWT")
_FOR_JOBS = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "TZ")

# What Slurm says when the controller, the accounting daemon or munge is down, slow or starting.
_SIGNS_OF_ABSENCE = (
    "unable to contact slurm controller",
    "connection refused",
    "connection timed out",
    "socket timed out",
    "communication connection failure",
    "zero bytes were transmitted",
    "transport endpoint is not connected",
    "munge",
    "protocol authentication error",
    "temporarily",
    "slurm backup controller in standby mode",
    "slurmdbd",
    "resource temporarily unavailable",
    "try again later",
)


class Commands:
    """Runs Slurm's commands as the present user."""

    def __init__(self, site: SlurmSite) -> None:
        self._site = site

    def run(self, name: str, arguments: Sequence[str]) -> str:
        """Return what the command printed.

        Raises `Refused` with Slurm's own words when it says no, and `Unreachable` when nobody answers in
        time.
        """
        command = str(self._site.commands / name) if self._site.commands else name
        try:
            done = subprocess.run(
                [command, *arguments],
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._site.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            limit = f"{self._site.timeout_s:g} s"
            raise Unreachable(f"Slurm does not answer: {name} took over {limit}") from error
        except OSError as error:
            hint = "Install Slurm's client commands, or name their folder as slurm.commands in config.toml."
            raise Unreachable(f"{name} cannot be run: {error.strerror}", hint) from error
        said = _last_words(done.stderr)
        if done.returncode == 0:
            if len(done.stdout) > _LIMIT_CHARACTERS:
                raise Unreachable(f"{name} printed more than {_LIMIT_CHARACTERS:,} bytes")
            return done.stdout.decode(errors="replace")
        if done.returncode < 0 or any(sign in said.lower() for sign in _SIGNS_OF_ABSENCE):
            raise Unreachable(f"Slurm does not answer: {said or f'{name} was killed'}")
        raise Refused(said or f"{name} ended with code {done.returncode}")


def environment() -> Mapping[str, str]:
    """Return the variables for Slurm's commands: none that holds options of theirs, none of the platform."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def job_environment() -> Mapping[str, str]:
    """Return the variables that batch jobs see, beside those of Slurm itself."""
    return {name: os.environ[name] for name in _FOR_JOBS if name in os.environ} | {"LANG": "C.UTF-8"}


def _last_words(stderr: bytes) -> str:
    text = stderr.decode(errors="replace")[-8 * _SAID_CHARACTERS :]
    lines = [line.partition("error: ")[2] or line for line in text.splitlines() if line.strip()]
    printable = ("".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines[-2:])
    return "; ".join(printable)[:_SAID_CHARACTERS]

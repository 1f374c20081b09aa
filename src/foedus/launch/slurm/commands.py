"""Slurm's commands: run one with a time limit, in a minimal environment, and judge how it ended."""

import math
import os
import subprocess
from collections.abc import Mapping, Sequence

from foedus.launch.cluster import Refused, Unreachable
from foedus.launch.slurm._output import TooMuch, output_of
from foedus.launch.slurm.refusals import is_refusal
from foedus.launch.slurm.site import SlurmSite

_LIMIT_BYTES = 32 << 20
_SAID_CHARACTERS = 500
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH", "TZ", "SLURM_CONF", "SLURM_JWT")
_FOR_JOBS = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "TZ", "FOEDUS_DEVICE")


class Commands:
    """Runs Slurm's commands as the present user."""

    def __init__(self, site: SlurmSite) -> None:
        self._site = site

    def run(self, name: str, arguments: Sequence[str], limit_s: float = math.inf) -> str:
        """Return what the command printed, after at most `limit_s` seconds and the site's limit.

        Raises `Refused` with Slurm's own words when it judges that it will not, and `Unreachable` when nobody
        answers in time or it is not known what came of it.
        """
        command = str(self._site.commands / name) if self._site.commands else name
        limit_s = min(limit_s, self._site.timeout_s)
        try:
            done = output_of([command, *arguments], environment(), limit_s, _LIMIT_BYTES)
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"Slurm does not answer: {name} took over {limit_s:.3g} s") from error
        except TooMuch as error:
            raise Unreachable(f"{name} printed more than {_LIMIT_BYTES:,} bytes") from error
        except OSError as error:
            hint = "Install Slurm's client commands, or name their folder as slurm.commands in config.toml."
            raise Unreachable(f"{name} cannot be run: {error.strerror}", hint) from error
        if done.code == 0:
            return done.stdout.decode(errors="replace")
        lines = _last_lines(done.stderr)
        said = "; ".join(lines)[:_SAID_CHARACTERS]
        if done.code > 0 and is_refusal(lines):
            raise Refused(said)
        end = f"it was killed by signal {-done.code}" if done.code < 0 else f"it ended with code {done.code}"
        raise Unreachable(f"{name} fails: {said or end}")


def environment() -> Mapping[str, str]:
    """Return the variables for Slurm's commands: none that holds options of theirs, none of the platform."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def job_environment() -> Mapping[str, str]:
    """Return the variables that batch jobs see, beside those of Slurm itself."""
    return {name: os.environ[name] for name in _FOR_JOBS if name in os.environ} | {"LANG": "C.UTF-8"}


def _last_lines(stderr: bytes) -> list[str]:
    text = stderr[-8 * _SAID_CHARACTERS :].decode(errors="replace")
    lines = [line.partition("error: ")[2] or line for line in text.splitlines() if line.strip()]
    return ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines[-2:]]

"""What belongs to a private cluster, and how all of it goes: with the tests, also when they were killed."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.slurm.processes import (
    all_processes,
    command_line,
    environment,
    kill,
    parent_of,
    wait_until,
    with_descendants,
    working_folder,
)

_DAEMONS = ("munged", "slurm", "mariadbd", "mysqld")


def members(root: Path) -> list[int]:
    """Return the cluster's daemons, the processes of its batch jobs, and what all these started."""
    named = [process for process in all_processes() if _belongs(process, str(root))]
    return list(dict.fromkeys(found for process in named for found in with_descendants(process)))


def remove(root: Path) -> None:
    """Kill all that belongs to the cluster and remove its folder. Raises TimeoutError. Idempotent."""

    def is_empty() -> bool:  # what was just about to be started is found by the next look
        left = members(root)
        kill(left)
        return not left

    wait_until(is_empty, 20, f"the end of all processes of {root}", 0.02)
    if root.exists():
        shutil.rmtree(root)


def watch(root: Path) -> "subprocess.Popen[bytes]":
    """Start a process that removes the cluster as soon as our own process has ended, however it did."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slurm.guard", str(root)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        start_new_session=True,  # an interrupt from the keyboard is not for it
    )


def dismiss(guard: "subprocess.Popen[bytes]") -> None:
    """Let the guard go; it removes what is left."""
    guard.communicate(timeout=60)


def _belongs(process: int, root: str) -> bool:
    words, variables = command_line(process), environment(process)
    is_daemon = bool(words) and Path(words[0]).name.startswith(_DAEMONS)
    if is_daemon or "SLURM_JOB_ID=" in variables:
        return any(root in word for word in words) or f"SLURM_CONF={root}/" in variables
    # what gave up its environment and its parent: daemons of batch jobs, login shells that slurmd runs
    return parent_of(process) == 1 and working_folder(process).startswith(f"{root}/")


if __name__ == "__main__":
    sys.stdin.buffer.read()  # ends when nobody can write to it any more
    remove(Path(sys.argv[1]))

"""Processes of the private cluster: which there are, and how to end them. Others' are never touched."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def command_line(process: int) -> list[str]:
    """Return a process's arguments; empty when it has gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def environment(process: int) -> str:
    """Return a process's environment as one text; empty when it cannot be had."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def open_files(process: int) -> list[str]:
    """Return what a process's descriptors point to."""
    folder = f"/proc/{process}/fd"
    try:
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    except OSError:
        return []


def working_folder(process: int) -> str:
    """Return a process's current folder; empty when it cannot be had."""
    try:
        return os.readlink(f"/proc/{process}/cwd")
    except OSError:
        return ""


def all_processes() -> Iterator[int]:
    """Yield the ids of all processes."""
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def parent_of(process: int) -> int:
    """Return the parent's id, 0 when the process has gone."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def with_descendants(process: int) -> list[int]:
    """Return the process and all that it started and that did not lose their parent."""
    children = [child for child in all_processes() if parent_of(child) == process]
    return [process, *(found for child in children for found in with_descendants(child))]


def kill(processes: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to those that still live."""
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def wait_until(holds: Callable[[], bool], limit_s: float, what: str, step_s: float = 0.05) -> None:
    """Poll until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_s:g} s for: {what}")
        time.sleep(step_s)

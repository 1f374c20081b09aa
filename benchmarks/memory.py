"""Memory of a process with all its descendants."""

from collections.abc import Callable
from dataclasses import dataclass

try:
    import psutil
except ImportError:  # the benchmarks that need it then say so
    psutil = None  # type: ignore[assignment]

from benchmarks.result import CannotRun

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of several processes: counted in each (RSS), and with shared pages divided among them (PSS)."""

    rss: int
    pss: int
    processes: tuple[tuple[int, int], ...]  # (process id, its PSS), by process id


def memory_of_tree(process_id: int) -> Memory:
    """Measure a process and its descendants; those that end meanwhile count nothing."""
    if psutil is None:
        raise CannotRun("the package psutil is not installed (extra `dev`)")
    rss, shares = 0, []
    try:
        root = psutil.Process(process_id)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        tree = []
    for process in tree:
        try:
            found = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue
        rss += found.rss
        shares.append((process.pid, found.pss))
    return Memory(rss, sum(share for _, share in shares), tuple(sorted(shares)))


def wait_for_end(process_id: int, kill: Callable[[], None], timeout_s: float = 10.0) -> None:
    """Kill the process by calling `kill`, and wait until its descendants, which follow it, have ended."""
    if psutil is None:
        kill()
        return
    try:
        descendants = psutil.Process(process_id).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    kill()
    psutil.wait_procs(descendants, timeout_s)

"""How much memory a process and all that it started take (Linux; elsewhere nothing is known).

What is counted is resident memory, the sum over the processes, as Slurm counts it: pages that they share
count for each. A limit of the kernel's (RLIMIT_DATA) would hold for each process by itself, count what was
only reserved, and end a task with whatever its library says when it gets no memory.
"""

import os
from contextlib import suppress

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def tree_mb(process: int) -> int:
    """Return the resident memory of a process and its descendants in MB; 0 when it is gone."""
    return _tree_bytes(process) >> 20


def _tree_bytes(process: int) -> int:
    try:
        with open(f"/proc/{process}/statm", "rb") as file:
            resident = int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):  # it ended just now
        return 0
    return resident + sum(map(_tree_bytes, _children(process)))


def _children(process: int) -> list[int]:
    """Return the children of all its threads: a thread's children are listed under it."""
    found: list[int] = []
    with suppress(OSError):  # the process ended just now
        for thread in os.listdir(f"/proc/{process}/task"):
            # the thread ended just now; or the kernel does not tell, and a process counts alone
            with suppress(OSError), open(f"/proc/{process}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found

"""What becomes of processes whose parent dies without a word: no process of ours outlives its purpose."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, so that none escapes (Linux; else nothing)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, which is `parent`, ends (Linux; else nothing)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)


def outlive_parent() -> None:
    """Undo `die_with`."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)

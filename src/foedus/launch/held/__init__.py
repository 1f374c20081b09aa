"""Held allocations: one batch job keeps a warm worker that serves a client's tasks over many rounds."""

from foedus.launch.held.launcher import HeldLauncher
from foedus.launch.held.post import HeldTimes, holding_program

__all__ = ["HeldLauncher", "HeldTimes", "holding_program"]

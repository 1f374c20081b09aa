"""What the figures were measured on, and how busy others kept it meanwhile."""

import importlib.metadata
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from foedus.launch.local import usable_cpus
from foedus.site.machine import memory_gib, processor

BUSY_LOAD = 0.5  # load average above which figures are doubtful


def describe() -> dict[str, object]:
    """Return processor, cores, memory, versions, and the load average now."""
    return {
        "cpu": processor(),
        "cores": usable_cpus(),
        "memory_gib": round(memory_gib(), 1),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "load": round(os.getloadavg()[0], 2),
    }


def machine_line(facts: dict[str, object]) -> str:
    """Say in one line what `describe` found."""
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Python {facts['python']}, "
        f"torch {facts['torch']}, load average {facts['load']}"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


@dataclass(frozen=True, slots=True)
class Watch:
    """Began at some moment; knows how many cores others have used since. Linux only, else it says 0."""

    began: float
    busy_s: float
    own_s: float

    @classmethod
    def begin(cls) -> "Watch":
        """Begin now."""
        return cls(time.monotonic(), _busy_s(), _own_s())

    def cores_of_others(self) -> float:
        """Return how many cores were busy, on average, with what is not ours.

        Children count once they have ended and their parent has noticed; of killed trees some do not.
        """
        elapsed = max(time.monotonic() - self.began, 1e-9)
        return max(0.0, (_busy_s() - self.busy_s) - (_own_s() - self.own_s)) / elapsed


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_s() -> float:
    """Return the seconds that all cores together have worked since the machine started."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) for word in fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

"""What a benchmark gives: lines of what was measured, how much of it, and what was wanted."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias


class CannotRun(Exception):
    """A benchmark lacks something that it needs; the text says what."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `quick` only shows that the code works: its figures mean nothing."""

    quick: bool = False
    rounds: int = 1000  # of the endurance benchmark
    mnist: Path | None = None  # folder with the four idx files
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))  # must be a local file system
    say: Callable[[str], None] = print  # progress of what takes long


@dataclass(frozen=True, slots=True)
class Target:
    """A limit that the requirements set."""

    limit: float
    sense: Literal["most", "least"]

    def is_met_by(self, value: float) -> bool:
        """Whether the value keeps the limit."""
        return value <= self.limit if self.sense == "most" else value >= self.limit


def at_most(limit: float) -> Target:
    """Return the target that larger values miss."""
    return Target(limit, "most")


def at_least(limit: float) -> Target:
    """Return the target that smaller values miss."""
    return Target(limit, "least")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. Without a target it is there for information; without a value it could not be had."""

    what: str
    value: float | None
    unit: str = ""
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> Literal["met", "missed", "information", "not measured"]:
        """How the figure relates to its target."""
        if self.value is None:
            return "not measured"
        if self.target is None:
            return "information"
        return "met" if self.target.is_met_by(self.value) else "missed"

    def to_json(self) -> Mapping[str, object]:
        """Return plain JSON values."""
        return {**asdict(self), "verdict": self.verdict}


Benchmark: TypeAlias = Callable[[Options], list[Line]]


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    return float(statistics.median(values))

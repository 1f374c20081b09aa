"""What a comparison consists of. All frozen; scores lie in [0, 1], times are seconds, sizes are bytes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foedus.learn.score_words import ScoreWords


@dataclass(frozen=True, slots=True)
class Stat:
    """Mean and sample standard deviation (n − 1) over seeds; no deviation of a single value."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round that ended. Figures are those of the global model in force after it, on the test set."""

    round: int
    outcome: str  # accepted | rejected | empty
    accuracy: float | None  # None until a version was accepted, or when the job folders are gone
    f1: float | None
    loss: float | None
    seconds: int  # between its first and its last block
    training_seconds: float  # of all clients together
    bytes_sent: int | None  # uploads and downloads of all clients; None when the store lacks an object


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of the comparison: an entry with one seed. `reason` says why it failed or what is missing."""

    label: str
    seed: int
    run: str | None
    state: str  # completed | failed | missing
    reason: str = ""
    rounds: tuple[RoundResult, ...] = ()
    turns: int = 0  # times that a client was asked, over all rounds
    seconds: int = 0  # from the run's first to its newest block
    data: str | None = None  # digest of the datasets' CIDs; None when the job folder is gone
    weights: str | None = None  # CID of version 0's weights

    @property
    def last(self) -> RoundResult | None:
        """The last round."""
        return self.rounds[-1] if self.rounds else None


@dataclass(frozen=True, slots=True)
class EntryResult:
    """One entry over its completed runs: final figures, and what they cost."""

    label: str
    completed: int  # runs
    planned: int
    accuracy: Stat | None
    f1: Stat | None
    loss: Stat | None
    best_round: int | None  # with the highest mean accuracy
    best_accuracy: float | None
    to_target: Stat | None  # rounds, over the seeds that reached the target
    accepted: int  # rounds of all completed runs
    rejected: int
    empty: int
    bytes_per_turn: float | None  # sent by and to one client in one round, on average
    seconds: Stat | None  # of one run
    training_seconds: Stat | None  # of one run, all clients together


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure of one entry over the rounds; None where not every completed run has a value."""

    label: str
    mean: tuple[float | None, ...]
    std: tuple[float | None, ...]  # None everywhere with a single seed


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison as far as it has come."""

    name: str
    folder: Path  # where its plan lies, and its results unless they were wanted elsewhere
    rounds: int
    seeds: tuple[int, ...]
    target: float | None
    runs: tuple[RunResult, ...]
    entries: tuple[EntryResult, ...]
    accuracy: tuple[Curve, ...]
    f1: tuple[Curve, ...]
    loss: tuple[Curve, ...]
    differences: tuple[str, ...]  # where runs of one seed did not begin alike, in words
    common: Mapping[str, str]  # settings that all runs have
    own: Mapping[str, Sequence[str]]  # settings in which the entries differ, in their order
    words: ScoreWords  # what accuracy and `f1` are of these models

    @property
    def unfinished(self) -> tuple[RunResult, ...]:
        """The runs that failed or are missing."""
        return tuple(run for run in self.runs if run.state != "completed")


def stat(values: Sequence[float]) -> Stat | None:
    """Return mean and sample standard deviation; None for no value at all.

    Sums are exact (`math.fsum`), so the order of the seeds does not matter.
    """
    if not values:
        return None
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Stat(mean, None, 1)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Stat(mean, math.sqrt(squares / (count - 1)), count)

"""What comes out of an experiment, beside the comparison of its runs. All frozen; scores lie in [0, 1]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foedus.client.compare import Comparison


@dataclass(frozen=True, slots=True)
class GroupScore:
    """A final model on the test examples of one group: a label, a site, a domain."""

    group: str
    score: float  # accuracy of labels, else the objective's score
    loss: float
    examples: int


@dataclass(frozen=True, slots=True)
class ClientScore:
    """A client's last local model on its own validation examples."""

    client: str
    loss: float
    score: float


@dataclass(frozen=True, slots=True)
class RunScores:
    """The final model of one run on the test set."""

    label: str
    seed: int
    run: str
    test: str  # CID of the test set
    examples: int  # in it
    began: int  # Unix time of the run's first block
    ended: int  # and of its newest
    score: float
    accuracy: float
    loss: float
    groups: Sequence[GroupScore]
    clients: Sequence[ClientScore]
    confusion: Sequence[Sequence[int]]  # true label by predicted label; of classifiers

    @property
    def mean(self) -> float:
        """Mean of the groups' scores."""
        return sum(one.score for one in self.groups) / len(self.groups)

    @property
    def worst(self) -> float:
        """The lowest score of a group."""
        return min(one.score for one in self.groups)

    @property
    def spread(self) -> float:
        """Standard deviation of the groups' scores, as of a whole population."""
        return float((sum((one.score - self.mean) ** 2 for one in self.groups) / len(self.groups)) ** 0.5)


@dataclass(frozen=True, slots=True)
class Findings:
    """An experiment as far as it has come. `pictures`: PNG files by name."""

    comparison: Comparison
    scores: Sequence[RunScores]
    pictures: Mapping[str, bytes]
    facts: Mapping[str, str]  # about data, dates, machine and versions, in the order of the page

"""What a summary of a run consists of. All frozen; scores and shares lie in [0, 1], times are seconds.

Texts from the chain and from job folders stand here as they were found: whoever shows them escapes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from foedus.core.canonical import Json


@dataclass(frozen=True, slots=True)
class Figures:
    """A model's figures on one set of examples."""

    loss: float
    f1: float
    accuracy: float
    examples: int


@dataclass(frozen=True, slots=True)
class Training:
    """What a train task reported (Algorithm 1)."""

    train_loss: tuple[float, ...]  # mean of each epoch
    local: Figures  # local model on the client's own validation split
    base: Figures  # base on the same
    shared_local: Figures  # local model on the project's shared evaluation set
    shared_base: Figures
    is_above_floor: bool
    update_norm: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer in a ballot (Algorithm 5)."""

    choice: str  # yes | no | abstain
    score: float  # of the candidate on the client's own validation split
    base_score: float
    tx: str
    block: int


@dataclass(frozen=True, slots=True)
class ClientRound:
    """One client in one round: what it registered, as the chain says, and what its job folders tell."""

    client: str
    state: str  # registered | declined | silent
    reason: str = ""  # why it declined
    cid: str | None = None  # of the update's weights
    num_examples: int = 0
    score: float | None = None  # registered, of the local model, own validation split
    base_score: float | None = None
    tx: str | None = None
    block: int | None = None
    reward: float | None = None  # of the registration; it weighs in the merge
    paid: float = 0.0  # the reward again, once the round was accepted
    weight: float | None = None  # share in the merge
    refused: str = ""  # code with which the merge left the update out
    training: Training | None = None
    merge: Figures | None = None  # candidate on the client's own validation split
    merge_seconds: float | None = None
    vote: Vote | None = None


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """One round, ended or under way."""

    number: int
    phase: str  # open | aggregating | voting | accepted | rejected | empty
    version: int  # of the global model after it
    base: str
    candidate: str | None
    proposer: str | None
    electorate: int
    opened_block: int
    opened_at: int
    ended_block: int | None
    ended_at: int | None
    clients: tuple[ClientRound, ...]  # sorted by client
    test: Figures | None  # candidate on the project's test set, measured by the proposer

    @property
    def is_final(self) -> bool:
        """Whether the round has ended."""
        return self.phase in ("accepted", "rejected", "empty")


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """One member of the project."""

    client: str
    address: str
    role: str  # lead | member | auditor | none


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """One block that concerns the run."""

    number: int
    time: int
    hash: str
    transactions: tuple[str, ...]
    happened: tuple[str, ...]  # in words, in the chain's order


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version of the global model."""

    version: int
    cid: str  # manifest
    weights: str
    base: str | None
    round: int | None  # that accepted it; None for version 0
    shares: Mapping[str, float]  # client -> share in the merge
    refused: Mapping[str, str]  # client -> code
    test: Figures | None


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data in words, and how many examples of each label every client holds; empty when not known."""

    words: str = ""
    labels: int = 0
    histograms: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Everything a report shows about one run."""

    name: str
    state: str  # new (not on the chain yet) | unfinished | completed | cancelled
    settings: Mapping[str, Json]  # the spec
    rounds_planned: int
    data: DataSummary
    project: int | None = None
    run: int | None = None
    terms: str | None = None
    version: int = 0
    current: str | None = None
    started_at: int | None = None
    changed_at: int | None = None  # time of the run's newest block
    members: tuple[MemberSummary, ...] = ()
    rounds: tuple[RoundSummary, ...] = ()
    blocks: tuple[BlockSummary, ...] = ()
    lineage: tuple[VersionSummary, ...] = ()  # newest first
    reason: str = ""  # why it was cancelled
    lineage_fault: str = ""  # why the lineage does not reach back to version 0

    @property
    def clients(self) -> tuple[str, ...]:
        """Everybody who was asked for an update in some round, sorted."""
        found = {entry.client for one in self.rounds for entry in one.clients}
        return tuple(sorted(found | set(self.data.histograms)))

    @property
    def has_ended(self) -> bool:
        """Whether the run will do nothing more."""
        return self.state not in ("new", "unfinished")

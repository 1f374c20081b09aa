"""The records that travel between modules. All frozen; all numbers that the chain carries are integers.

Scores (F1, Dice, R² …, always in [0, 1]) travel as integers in parts per billion (`SCORE_SCALE`), so that the
contract, the clients and a later verification decide on the same number. Rewards travel in 1e-18 (`WAD`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TypeAlias

from foedus.core.ids import Cid, ClientId, NativeId, TxHash

SCORE_SCALE = 10**9
WAD = 10**18


class Role(IntEnum):
    """A member's role in a project, as the contract numbers them."""

    NONE = 0
    AUDITOR = 1
    MEMBER = 2
    LEAD = 3


class Phase(IntEnum):
    """Where a round stands, as the contract numbers them. The last three are final."""

    OPEN = 1
    AGGREGATING = 2
    VOTING = 3
    ACCEPTED = 4
    REJECTED = 5
    EMPTY = 6

    @property
    def is_final(self) -> bool:
        """Whether the round has ended."""
        return self >= Phase.ACCEPTED


class Choice(IntEnum):
    """An answer in a ballot, as the contract numbers them."""

    YES = 1
    NO = 2
    ABSTAIN = 3


class GateMode(IntEnum):
    """How Algorithm 2 compares the local score with the base's (margin: difference, ratio: quotient)."""

    MARGIN = 0
    RATIO = 1


class TaskKind(StrEnum):
    """One client's piece of work in a round."""

    TRAIN = "train"
    AGGREGATE = "aggregate"
    VERIFY = "verify"


class JobState(StrEnum):
    """State of a batch job. `UNKNOWN` may become anything; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether the scheduler will do nothing more with the job."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.LOST)


# --- chain ---

Value: TypeAlias = int | str | bool | bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the contract, to be signed by the account named `sender`."""

    sender: str
    function: str
    args: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the contract, decoded; addresses in `args` are checksummed `0x…` text."""

    name: str
    args: Mapping[str, Value]
    block: int
    block_time: int  # seconds since 1970, as the block says
    tx: TxHash
    index: int  # position inside the block


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain answered to one transaction. `error` is the revert reason, or None when it succeeded."""

    tx: TxHash
    block: int
    block_time: int
    gas_used: int
    error: str | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, and the hashes of its transactions in order."""

    number: int
    hash: str
    parent: str
    timestamp: int
    gas_used: int
    state_root: str
    transactions: tuple[TxHash, ...]


# --- what the chain says about a run ---


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of a run that the contract enforces; fixed when the run starts."""

    rounds: int
    steps: int  # exchanges per round: 1, or the number of layers for FedMA
    threshold: int  # registrations that close a round at once
    deadline_s: int  # block time a round stays open for registrations
    vote_s: int  # block time for one member's turn to aggregate, and for the ballot
    gate_mode: GateMode
    beta_ppb: int  # gate threshold (signed)
    epsilon_ppb: int  # how much worse a candidate may score and still get a yes


@dataclass(frozen=True, slots=True)
class Registration:
    """One client's update, as registered."""

    client: ClientId
    cid: Cid  # the update's weights
    num_examples: int
    score_ppb: int  # of the local model, on the client's own validation split
    base_score_ppb: int  # of the base, on the same split
    reward_wad: int  # computed by the contract
    tx: TxHash
    block: int
    block_time: int


@dataclass(frozen=True, slots=True)
class Ballot:
    """One member's answer on a candidate."""

    client: ClientId
    choice: Choice
    score_ppb: int
    base_score_ppb: int
    tx: TxHash
    block: int


@dataclass(frozen=True, slots=True)
class RoundView:
    """What the chain says about one step of one round."""

    number: int
    step: int
    phase: Phase
    base: Cid  # manifest that this step starts from
    opened_block: int
    opened_at: int  # block time
    deadline: int  # block time; of the registrations while OPEN, of the ballot while VOTING
    closed_at: int = 0  # block time at which aggregation could begin
    registrations: tuple[Registration, ...] = ()  # sorted by client
    declined: Mapping[ClientId, str] = field(default_factory=dict)
    candidate: Cid | None = None
    proposer: ClientId | None = None
    ballots: tuple[Ballot, ...] = ()  # sorted by client
    electorate: frozenset[ClientId] = frozenset()
    turn_order: tuple[ClientId, ...] = ()  # who aggregates, first to last


# --- batch jobs ---


@dataclass(frozen=True, slots=True)
class Resources:
    """What a batch job asks for (Algorithm 1's R).

    The texts are the scheduler's own words, passed through unread: a Slurm partition or Kueue queue, an
    account, a quality of service, a constraint on nodes. Each launcher says which of all this it can give.
    """

    cpus: int = 1
    memory_mb: int | None = None
    gpus: int = 0
    gpu_type: str = ""
    walltime_s: float = 24 * 3600.0
    queue: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    scratch_mb: int = 0  # of space on a disk of the node itself


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One batch job: run `application` on the job folder, which already holds `spec.json`.

    `affinity` names whose work it is; a launcher with warm workers gives a client's jobs to one of them.
    """

    application: str
    folder: str
    resources: Resources = field(default_factory=Resources)
    affinity: str = ""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A batch job's state and, for humans, its cause ("ran out of memory", "waiting for resources").

    `scheduler_id` and `scheduler_state` are what a cluster's scheduler itself calls the job and its state.
    """

    native_id: NativeId
    state: JobState
    cause: str = ""
    scheduler_id: str = ""
    scheduler_state: str = ""
    attempt: int = 1

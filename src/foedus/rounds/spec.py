"""The spec of a run: a TOML file, checked by Pydantic. Here what people write becomes what we use."""

import difflib
import reprlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.core.ids import Cid
from foedus.learn.robust.rule import RobustRule, RuleName
from foedus.rounds.sampling import draw_size

_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
_CID: Final = r"^baf[a-z2-7]{56}$"
_PATTERNS: Final = {
    _NAME: "must be 1 to 32 of a-z, 0-9, - and _, a letter or digit first",
    _CID: "must be a CID: baf and 56 more letters and digits",
}
Name = Annotated[str, Field(pattern=_NAME)]
Start = Annotated[Cid, Field(pattern=_CID)]
Argument = bool | int | float | str | list[int] | list[list[int]]

_FILE_LIMIT_BYTES: Final = 1 << 20
MOST_MEMBERS: Final = 1024  # of a project, as the contract has it
CHECKPOINT_S: Final = 60.0  # seconds between two checkpoints
_LONGEST_S: Final = 1_000_000_000  # what the contract allows
_REPR: Final = reprlib.Repr()  # shortens what is long and what is nested deeply
_REPR.maxstring = _REPR.maxother = 80


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(_Section):
    """Which model: a registered name and its arguments."""

    name: str = "cnn"
    args: dict[str, Argument] = {}
    init: Literal["default", "zeros"] = "default"
    start: Start | None = Field(None, description="begin with this version of a model: CID of its manifest")


class DataSection(_Section):
    """Which examples, and how many of them the project publishes for everybody."""

    name: Literal["mnist", "lungs", "covid", "frames", "members"] = Field(
        "mnist",
        description="lungs, covid: X-rays with masks; frames: simulations; "
        "members: each client brings a private dataset; only on the platform",
    )
    source: Literal["auto", "folder", "full", "small"] = "auto"
    folder: str | None = None
    side: int = Field(128, ge=16, le=1024, description="lungs, covid: X-rays of side × side pixels")
    ahead: int = Field(1, ge=1, le=10_000, description="frames: how many frames ahead is predicted")
    rates: bool = Field(False, description="frames: F and k of each simulation are further channels")
    images: int | None = Field(
        None, ge=30, description="use this many examples (stratified); all when absent"
    )
    test: int = Field(500, ge=10, description="examples of the project's test set (taken first)")
    shared: int = Field(250, ge=10, description="examples of the project's shared evaluation set")


class PartitionSection(_Section):
    """How the remaining examples fall to clients. `args` as in `foedus.learn.partitions`."""

    kind: str = "noniid-2"
    clients: int = Field(3, ge=1, le=10_000)
    args: dict[str, Argument] = {}
    shared_fraction: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="share of the examples that the project publishes, for all clients to train with",
    )


class AlgorithmSection(_Section):
    """Which algorithm, and its parameters. See the reference of algorithms."""

    name: str = "fedprox"
    params: dict[str, Argument] = {}


class RobustSection(_Section):
    """How a merge withstands hostile clients: first clip, then mix, then the rule. See the how-to."""

    rule: RuleName = "mean"
    byzantine: int = Field(0, ge=0, le=10_000, description="how many hostile clients to withstand")
    clip: float = Field(
        0.0, ge=0, le=1e6, description="shorten updates to this many times the median length; 0: do not"
    )
    mix: bool = Field(False, description="nearest-neighbour mixing before the rule")
    iterations: int = Field(32, ge=1, le=1000, description="steps of geometric-median and centred-clipping")
    smoothing: float = Field(
        1e-6, ge=1e-9, le=1, description="geometric-median: shortest distance, in median lengths"
    )
    radius: float = Field(
        0.0, ge=0, le=1e150, description="centred-clipping: longest step of a client; 0: the median length"
    )

    def as_rule(self) -> RobustRule:
        """Return the rule as merges take it. Raises `InvalidSpec` when parameters contradict each other."""
        return RobustRule(**self.model_dump())


class TrainingSection(_Section):
    """Local training (Algorithm 1)."""

    epochs: int = Field(1, ge=1, le=1000)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.01, gt=0, le=100)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)


class PolicySection(_Section):
    """What the members agreed on: gate, rewards, ballots and deadlines. Fixed when the run starts."""

    fraction: float = Field(
        1.0, gt=0, le=1, description="share of the clients that train in a round, drawn anew for each"
    )
    threshold: int | None = Field(
        None, ge=1, description="updates that close a round at once; all who train by default"
    )
    deadline_s: int = Field(86_400, ge=1, le=_LONGEST_S, description="seconds a round waits for updates")
    vote_s: int = Field(
        3_600, ge=1, le=_LONGEST_S, description="seconds for a turn to aggregate, and for a ballot"
    )
    gate: Literal["margin", "ratio"] = "margin"
    beta: float = Field(
        -0.02,
        ge=-1,
        le=2,
        description="gate: by how much a local model must beat its base; negative only for a margin",
    )
    floor_ratio: float = Field(
        0.1, ge=0, le=1, description="on the shared evaluation set, of the base's score"
    )
    epsilon: float = Field(
        0.02, ge=0, le=1, description="a candidate may score this much worse and still get a yes"
    )
    kappa: float = Field(1.0, ge=0, le=100, description="how much rewards weigh; 0 is plain FedAvg weighting")
    cap_ratio: float = Field(
        3.0, gt=0, description="claimed examples count up to this many times their median"
    )
    buffers: Literal["average", "pooled", "local"] = "average"


class JobsSection(_Section):
    """How tasks run on this machine. What `launcher` says of simulated clients is part of the run's terms."""

    launcher: Literal["local", "batched"] = Field(
        "local", description="batched: the clients are simulated, many in one task"
    )
    hosts: int = Field(1, ge=1, le=256, description="members that simulate the clients of a batched run")
    batch: Literal["vmap", "serial"] = Field(
        "vmap", description="simulated clients train many at once, or one after the other"
    )
    workers: int | None = Field(
        None, ge=1, le=256, description="warm worker processes; one per client by default"
    )
    threads: int = Field(
        1, ge=1, le=256, description="threads of each worker; changes the last digits of results"
    )
    walltime_s: float = Field(86_400, gt=0, description="a task that runs longer is stopped")
    checkpoint_s: float = Field(
        CHECKPOINT_S, gt=0, description="how often a training task saves what it can go on from"
    )


class RunSpec(_Section):
    """Everything that a run needs. Sections and keys are those of the TOML file; all have defaults."""

    name: Name = "mnist"
    rounds: int = Field(10, ge=1, le=100_000)
    seed: int = Field(1, ge=0, lt=2**63)
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    partition: PartitionSection = PartitionSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    training: TrainingSection = TrainingSection()
    robust: RobustSection = RobustSection()
    policy: PolicySection = PolicySection()
    jobs: JobsSection = JobsSection()

    @model_validator(mode="after")
    def _fits_together(self) -> "RunSpec":
        threshold, training = self.policy.threshold, self.clients_per_round
        if threshold is not None and threshold > training:
            raise ValueError(
                f"policy.threshold {threshold} exceeds the {training} clients that train in a round"
            )
        self._require_members()
        try:
            self.robust.as_rule()
        except InvalidSpec as error:
            raise ValueError(str(error)) from error
        if self.policy.gate == "ratio" and self.policy.beta < 0:
            raise ValueError('policy.beta must be at least 0 with gate = "ratio"; 0.9 is usual')
        if self.policy.buffers == "local" and self.policy.floor_ratio > 0:
            raise ValueError(
                'policy.buffers = "local" needs policy.floor_ratio = 0: nobody else can score a model whose '
                "normalisation stays with its client"
            )
        return self

    def _require_members(self) -> None:
        clients, jobs = self.partition.clients, self.jobs
        if jobs.launcher == "local":
            if clients > MOST_MEMBERS:
                raise ValueError(
                    f"{clients} clients exceed the {MOST_MEMBERS} members of a project; "
                    'simulate them with jobs.launcher = "batched"'
                )
            return
        if self.partition.shared_fraction > 0:
            raise ValueError('partition.shared_fraction needs jobs.launcher = "local"')
        if jobs.hosts > clients:
            raise ValueError(f"jobs.hosts {jobs.hosts} exceeds the {clients} clients of partition.clients")
        if self.policy.buffers == "local":
            raise ValueError('policy.buffers = "local" needs jobs.launcher = "local"')

    @property
    def is_batched(self) -> bool:
        """Whether a few members simulate all clients."""
        return self.jobs.launcher == "batched"

    @property
    def clients_per_round(self) -> int:
        """How many members register an update in a round: the drawn clients, or all hosts."""
        if self.is_batched:
            return self.jobs.hosts
        return draw_size(self.partition.clients, self.policy.fraction)

    @property
    def updates_per_merge(self) -> int:
        """How many clients' updates a merge has when nothing goes wrong."""
        if self.is_batched:
            return draw_size(self.partition.clients, self.policy.fraction) * self.threshold // self.jobs.hosts
        return self.threshold

    @property
    def threshold(self) -> int:
        """Registrations that close a round at once."""
        return self.policy.threshold or self.clients_per_round


def load_spec(path: Path) -> RunSpec:
    """Read and check a spec file. Raises `InvalidSpec` naming key, fault and the nearest valid name."""
    try:
        return parse_spec(read_toml(path))
    except FileNotFoundError as error:
        raise InvalidSpec(f"there is no file {path}", "Give the path of a run spec (TOML).") from error


def read_toml(path: Path, hint: str = "") -> dict[str, Any]:
    """Read a TOML file. Raises `FileNotFoundError`, and `InvalidSpec` for whatever else is wrong with it."""
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting, a device has no end
            raise InvalidSpec(f"cannot read {path}: it is no regular file", hint)
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT_BYTES + 1)
        if len(data) > _FILE_LIMIT_BYTES:
            raise InvalidSpec(f"{path} is larger than {_FILE_LIMIT_BYTES:,} bytes", hint)
        return tomllib.loads(data.decode())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidSpec(f"cannot read {path}: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, too many digits; nested too deeply
        raise InvalidSpec(f"{path} is not TOML: {error}", hint) from error


def parse_spec(values: dict[str, Any]) -> RunSpec:
    """Check the values of a spec. Raises `InvalidSpec` with one line per fault."""
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(_describe(dict(fault)) for fault in error.errors())
        hint = "`foedus config check SPEC.toml` checks a spec; the reference lists all keys."
        raise InvalidSpec(faults, hint) from error


def _describe(fault: dict[str, Any]) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {location!r}{_nearest(fault['loc'])}"
    message = in_words(fault, _PATTERNS)
    if not location or fault["type"] == "missing":
        return f"{location}: {message}" if location else message
    return f"{location}: {message} (got {_REPR.repr(fault['input'])})"


def _nearest(location: tuple[str | int, ...]) -> str:
    section: type[BaseModel] = RunSpec
    for part in location[:-1]:
        section = _section_type(section, str(part))
    close = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid here: {', '.join(section.model_fields)}"


def _section_type(section: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = section.model_fields[name].annotation
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), section)

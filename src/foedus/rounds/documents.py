"""The JSON documents of a run: what is published by CID, and what goes into and comes out of job folders.

All of them may come from somebody else's hands, so each is checked strictly on reading: no unknown keys, no
other types, numbers within bounds.
"""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foedus.core.canonical import Json
from foedus.core.errors import FoedusError, ObjectDamaged
from foedus.core.ids import Cid
from foedus.core.protocols import ModelStore
from foedus.core.records import WAD
from foedus.rounds.spec import (
    CHECKPOINT_S,
    AlgorithmSection,
    Argument,
    Name,
    RobustSection,
    RunSpec,
    TrainingSection,
)
from foedus.store import get_json, put_json

Text = Annotated[str, Field(max_length=200)]
CidText = Annotated[str, Field(pattern=r"^baf[a-z2-7]{56}$")]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Loss = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Document(BaseModel):
    """Base of all documents; `kind` tells them apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Check plain JSON values. Raises `FoedusError` naming `where` and the first fault."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(str(part) for part in fault["loc"])
            raise FoedusError(f"{where} is not a usable {cls.__name__}: {key}: {fault['msg']}") from error


DocumentT = TypeVar("DocumentT", bound=Document)


def publish(store: ModelStore, document: Document) -> Cid:
    """Put a document into the store."""
    return put_json(store, document.to_json())


def fetch(store: ModelStore, cid: Cid, kind: type[DocumentT]) -> DocumentT:
    """Get a document from the store. Raises `ObjectMissing` or `ObjectDamaged`."""
    try:
        return kind.from_json(get_json(store, cid), f"object {cid}")
    except ObjectDamaged:
        raise
    except FoedusError as error:
        raise ObjectDamaged(error.message, error.hint) from error


# --- published by CID ---


class TensorEntry(Document):
    """Type and shape of one tensor of a model."""

    dtype: Text
    shape: list[Count]


class ModelSpec(Document):
    """Which model a project trains: a registered name, its arguments, and the schema of its weights."""

    kind: Literal["model-spec"] = "model-spec"
    name: Text
    args: dict[str, Argument]
    tensors: dict[str, TensorEntry]


class Hosting(Document):
    """A simulation: a few members, the hosts, train all clients (see `foedus.rounds.hosting`)."""

    clients: int = Field(ge=1, le=10_000)
    hosts: int = Field(ge=1, le=256)
    batch: Literal["vmap", "serial"]


class Terms(Document):
    """What the members of a run agreed on, beyond the numbers that the contract enforces."""

    kind: Literal["terms"] = "terms"
    name: Name
    model: CidText  # ModelSpec
    shared: CidText  # evaluation set of the project
    test: CidText  # test set of the project
    labels: int = Field(ge=1, le=100_000)
    data: Text  # which data, in words
    algorithm: AlgorithmSection
    training: TrainingSection
    robust: RobustSection
    buffers: Literal["average", "pooled", "local"]
    kappa: float = Field(ge=0, allow_inf_nan=False)
    cap_ratio: float = Field(gt=0, allow_inf_nan=False)
    floor_ratio: Score
    fraction: float = Field(gt=0, le=1, allow_inf_nan=False)
    hosting: Hosting | None
    seed: Count
    mixed: list[CidText] = []  # what the project shares for training: images, labels and, maybe, targets

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values: where nothing is mixed in, the terms say nothing of it."""
        values = super().to_json()
        return values if self.mixed else {key: one for key, one in values.items() if key != "mixed"}


class ProjectDocument(Document):
    """What a project of several runs was founded with; each of its runs has terms of its own."""

    kind: Literal["project"] = "project"
    name: Name


PartName = Annotated[str, Field(pattern=r"^(server|client/[a-z0-9][a-z0-9_-]{0,31})$")]


class StateDocument(Document):
    """What an algorithm remembers beside the weights: its counters, and its parts by CID."""

    kind: Literal["state"] = "state"
    counters: dict[Text, Count]
    parts: dict[PartName, CidText]


# --- job folders: orders in spec.json ---


class PrepareOrder(Document):
    """Load the data, deal it out, and make the initial model."""

    kind: Literal["prepare"] = "prepare"
    spec: dict[str, Any]  # a RunSpec, checked again by whoever reads it
    members: dict[
        Name, list[Name]
    ]  # whose dataset holds which clients' examples: its own, or of those it hosts
    data_cache: str  # folder of fetched datasets
    data_folder: str  # where the clients' own datasets go

    @property
    def run_spec(self) -> RunSpec:
        """The spec as a record."""
        return RunSpec.model_validate(self.spec)


class TrainOrder(Document):
    """One client's local training (Algorithm 1)."""

    kind: Literal["train"] = "train"
    store: str
    terms: CidText
    base: CidText  # manifest that the exchange starts from
    current: CidText  # manifest of the version in force; the base unless the round has had exchanges already
    client: Name
    round: Count
    step: Count
    dataset: str  # the client's own examples
    memory: str | None  # job folder of the client's own task whose memory it goes on from
    mixes_shared: bool = True  # whether it trains with what the project shares, too
    checkpoint_s: float = Field(CHECKPOINT_S, gt=0, allow_inf_nan=False)  # between two checkpoints


class UpdateEntry(Document):
    """One registered update, as the chain has it."""

    client: Name
    cid: Text  # as registered; whether it is one turns out when it is opened
    num_examples: int
    reward: Annotated[int, Field(ge=0, le=WAD)]


class MergeOrder(Document):
    """Merge the registered updates and score the result (Algorithms 4 and 5)."""

    kind: Literal["aggregate", "verify"]
    store: str
    terms: CidText
    base: CidText
    current: CidText  # manifest of the version in force
    version: Count  # of the candidate
    round: Count
    step: Count
    client: Name
    dataset: str
    memory: str | None  # job folder of what the client kept for itself when the version in force was made
    new_memory: str | None  # the same of this round
    updates: list[UpdateEntry]


# --- job folders: results in result.json ---


class Scores(Document):
    """A model's figures on one set of examples."""

    loss: Loss
    f1: Score
    accuracy: Score
    examples: Count


class PrepareResult(Document):
    """What was prepared: the data in words, and how many examples of each label every client holds."""

    kind: Literal["prepare"] = "prepare"
    data: Text
    labels: int
    histograms: dict[str, list[Count]]
    exchanges: Annotated[int, Field(ge=1, le=1000)]  # in one round
    files: dict[str, CidText]  # initial, shared, test, mixed: what they must be when they are published
    mixed: list[CidText] = []  # what the project shares for training: of `files`, or in the store already
    datasets: dict[str, CidText]  # of each client, when the run starts
    model: ModelSpec


class TrainResult(Document):
    """What local training gave. Scores are on the client's own validation split unless said."""

    kind: Literal["train"] = "train"
    update: CidText  # of update.safetensors
    num_examples: Count
    num_shared: Count = 0  # of them
    steps: Count
    train_loss: list[Loss]  # mean data loss of each epoch
    penalty: Loss  # mean proximal penalty of the last epoch
    local: Scores
    base: Scores
    shared_local: Scores
    shared_base: Scores
    is_above_floor: bool  # score on the shared evaluation set >= floor_ratio * the base's
    update_norm: float = Field(ge=0, allow_inf_nan=False)
    seconds: float = Field(ge=0)


class PartFile(Document):
    """One part of an algorithm's state in `state.parts`."""

    cid: CidText
    size: Count  # bytes


class MergeResult(Document):
    """What merging gave: the candidate's manifest and its scores."""

    kind: Literal["aggregate", "verify"]
    candidate: CidText
    manifest: dict[str, Any]
    state: StateDocument | None  # that the manifest names
    parts: list[PartFile]  # the changed ones, in the order of `state.parts`; from the aggregate task only
    refused: dict[str, Text]
    is_empty: bool
    is_scored: bool  # false: the member has lost what it needs to score, and abstains
    local: Scores
    base: Scores
    test: Scores | None  # of the candidate; from the aggregate task only
    seconds: float = Field(ge=0)

"""What a federated algorithm is: an explicit server state, local training, and a merge. No hidden memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias

from torch import nn

from foedus.core.errors import InvalidData
from foedus.core.ids import ClientId
from foedus.core.records import WAD
from foedus.learn.aggregation import BufferMode
from foedus.learn.arguments import Parameter
from foedus.learn.checkpoints import Checkpoints
from foedus.learn.examples import Examples
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.state import load_weights, trainable_parameters
from foedus.learn.training import DEFAULT_SETTINGS, LocalResult, OnStep, TrainSettings, local_sgd
from foedus.learn.updates import is_finite
from foedus.learn.weights import Array, Parts, Specs, TensorSource, Weights, specs_of

SERVER = "server"
"""The part of a server state that belongs to nobody in particular, e.g. the moments of a server optimiser."""

StateParts: TypeAlias = Mapping[str, Weights]


def part_of(client: ClientId) -> str:
    """Return the name of the part of a server state that is about one client."""
    return f"client/{client}"


@dataclass(frozen=True, slots=True)
class ServerState:
    """The global model and everything an algorithm remembers between merges.

    All of it is stored by CID, so any member can merge next, and a rejected round rolls all of it back by not
    moving the pointer. `parts` are stored one object each: a part that a merge does not replace (it stays the
    same object) is not written again.
    """

    weights: Weights
    parts: StateParts = field(default_factory=dict)  # by `SERVER` or `part_of(client)`
    counters: Mapping[str, int] = field(default_factory=dict)


def require_finite(after: ServerState, before: ServerState) -> None:
    """Raise `InvalidData` when a merge that started from `before` led beyond what its tensors can hold.

    Parts that are still the same object are not looked at.
    """
    parts = {name: part for name, part in after.parts.items() if part is not before.parts.get(name)}
    for where, tensors in {"the model": after.weights, **parts}.items():
        for name, tensor in tensors.items():
            if tensor.dtype.kind == "f" and not is_finite(tensor):
                raise InvalidData(f"the merged tensor {name!r} of {where} is beyond its type")


@dataclass(frozen=True, slots=True)
class Update:
    """One client's contribution to a merge, checked by `foedus.learn.updates.check_update`.

    `weight` comes from `client_weights`: examples (capped) times `bonus`. `bonus` is 1 + κ r_k in 1e-18, for
    algorithms that weigh clients by something other than their examples.
    """

    client: ClientId
    source: TensorSource
    weight: int
    bonus: int = WAD


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What a merge must know of the model and of the project's policy.

    `model` is there for its structure only (layers, widths): its weights mean nothing and are not changed.
    """

    parts: Parts
    buffer_mode: BufferMode = "average"
    robust: RobustRule = MEAN
    model: nn.Module | None = None
    step: int = 1  # exchange of this round, from 1
    learning_rate: float = 0.01  # of local training, as the members agreed
    momentum: float = 0.0  # likewise
    cap_ratio: float = 3.0  # what a client claims counts up to this many times the median


@dataclass(frozen=True, slots=True)
class Turn:
    """One client's turn to train: who, in which exchange of the round, and what it kept for itself.

    `memory` is private to the client: what its last accepted turn (or the step before in this round) said to
    keep. Empty in its first turn, and always for algorithms whose clients remember nothing.
    """

    client: ClientId
    seed: int
    step: int = 1
    memory: Weights = field(default_factory=dict)
    on_step: OnStep | None = None
    checkpoints: Checkpoints | None = None  # where to go on from, and to save to; each training by its name


class Strategy(Protocol):
    """A federated algorithm with its parameters. Create it with `get_strategy`.

    Algorithms subclass this protocol and say only what is different from FedAvg's one exchange of whole
    models.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]  # the publication it implements
    accepts: ClassVar[str] = "any model"  # which architectures, in words
    has_fixed_shapes: bool = True  # every version has the shapes of version 0

    @property
    def plain_pull(self) -> float | None:
        """The µ of FedProx when clients train by SGD with that pull and nothing else; None when otherwise.

        Many such clients can be trained together (`foedus.learn.batched`).
        """
        return 0.0

    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def check(
        self, model: nn.Module, robust: RobustRule = MEAN, settings: TrainSettings = DEFAULT_SETTINGS
    ) -> None:
        """Raise `UnsupportedModel` or `InvalidSpec` when one of these does not suit the algorithm."""

    def steps(self, model: nn.Module) -> int:
        """Return the number of exchanges in one round."""
        return 1

    def init(self, weights: Weights) -> ServerState:
        """Return the state that belongs to version 0."""
        return ServerState(weights)

    def fit(self, model: nn.Module, weights: Weights) -> None:
        """Put a version's weights into the model. Raises `UnsupportedModel` when they do not fit."""
        load_weights(model, weights)

    def update_specs(self, state: ServerState, client: ClientId, rules: MergeRules) -> Specs:
        """Return type and shape of every tensor that this client's update must have, and no other.

        Tensors that are not the model's own have names that start with `@`; they are non-negative integers,
        a single one at least 1. Raises `UpdateRefused` (`absent`) when the client can have no update in this
        exchange, and `InvalidSpec` when the rules do not suit the algorithm.
        """
        return {n: s for n, s in specs_of(state.weights).items() if n not in rules.parts.local}

    def scorable(self, state: ServerState, source: TensorSource, parts: Parts) -> Weights | None:
        """Return the local model behind an update, for others to score; None when it does not show one."""
        if parts.local:
            return None
        return {name: source.read(name) for name in state.weights}

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Train `model` in place from `state`, and leave the local model in it; here by SGD and pull.

        Raises as `local_sgd` and `fit` do.
        """
        self.fit(model, state.weights)
        # Without the object at μ = 0, so that the bytes are plain SGD's.
        pull = self.plain_pull
        penalty = ProximalPenalty(trainable_parameters(model), pull) if pull else None
        return local_sgd(
            model,
            data,
            settings,
            turn.seed,
            penalty=penalty,
            on_step=turn.on_step,
            checkpoints=turn.checkpoints,
        )

    def hand_over(self, weights: Weights, steps: int | Array) -> Weights:
        """Return the update of a client that trained by `steps` steps of SGD and `plain_pull` to `weights`.

        Also of many clients at once: one row per client in every tensor, and `steps` of shape (clients,).
        """
        return weights

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Merge checked updates, in any order, into the next state. Without updates the state is returned.

        Deterministic to the byte; inputs are not modified, outputs share no storage with the updates.
        """

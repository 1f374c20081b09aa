"""What a federated algorithm is: an explicit server state, local training, and a merge. No hidden memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from torch import nn

from foedus.core.ids import ClientId
from foedus.learn.aggregation import BufferMode
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.training import LocalResult, OnStep, TrainSettings
from foedus.learn.weights import Parts, TensorSource, Weights


@dataclass(frozen=True, slots=True)
class ServerState:
    """Everything an algorithm remembers between rounds; stored by CID, so any member can merge next."""

    weights: Weights
    extra: Weights = field(default_factory=dict)  # e.g. the moments of a server optimiser
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """One client's contribution to a merge; `weight` comes from `client_weights`."""

    client: ClientId
    source: TensorSource
    weight: int


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What a merge must know of the model and of the project's policy."""

    parts: Parts
    buffer_mode: BufferMode = "average"


class Strategy(Protocol):
    """A federated algorithm with its parameters. Create it with `get_strategy`."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]  # the publication it implements
    parameters: ClassVar[tuple[Parameter, ...]]

    def steps(self, model: nn.Module) -> int:
        """Return the number of exchanges in one round."""

    def init(self, weights: Weights) -> ServerState:
        """Return the state that belongs to version 0."""

    def train(
        self,
        model: nn.Module,
        base: Weights,
        data: Examples,
        settings: TrainSettings,
        seed: int,
        client_state: Weights,
        on_step: OnStep | None = None,
    ) -> LocalResult:
        """Train `model` in place, from `base`. Errors as of `local_sgd` and `load_weights`.

        `client_state` is what this client's last result said to keep: empty in its first round, and always
        for algorithms whose clients remember nothing.
        """

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Merge checked updates, in any order, into the next state. Without updates the state is returned."""

"""FedSGD. McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-efficient learning of deep networks
from decentralized data. AISTATS 2017. https://arxiv.org/abs/1602.05629

    each client k of the round:  g_k = mean gradient of F_k at θ_t, over all its examples or one random batch
    server:                      m ← β m + Σ_k w_k g_k / Σ_k w_k        β = 0 unless given
                                 θ_{t+1} = θ_t − η m

One forward and backward pass per round: with all examples this is gradient descent on the union of the
clients' data, and FedAvg with one epoch of one batch. Not with batch normalisation, since each client
normalises by its own statistics, and its examples then have to fit into memory at once; nor with dropout,
which makes every gradient a random one.

Of the training settings only `batch_size` (how many examples are in memory at once) and `weight_decay`
matter.

Privacy: a gradient of few examples is what reconstruction attacks work best on. Prefer large batches, and
FedAvg where clients must be protected from the members that merge.

When to use it: as the exact reference for comparisons, or when clients can afford one pass only. Cost: one
model down and one gradient up per client and step, hence many rounds.
"""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from foedus.core.errors import InvalidData, TaskFailed
from foedus.core.ids import ClientId
from foedus.learn.aggregation import client_weights
from foedus.learn.algorithms._delta import (
    Moments,
    Split,
    centre,
    contributing,
    extra_of,
    momentum_step,
    rest_of,
)
from foedus.learn.algorithms._gradient import add_weight_decay, mean_gradient
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.state import load_weights, trainable_parameters, weights_of
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Strategy, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings
from foedus.learn.updates import is_finite
from foedus.learn.vectors import Difference, Direct, moved
from foedus.learn.weights import Array, MemorySource, Parts, Specs, TensorSource, Weights

BATCH = "@batch"
"""How many examples an update's gradient is the mean of."""


@dataclass(frozen=True)
class FedSgd(Strategy):
    """Average the clients' gradients and make one step of gradient descent at the server."""

    server_lr: float = 0.1
    server_momentum: float = 0.0
    batch: int = 0
    weight_by: Literal["examples", "batch", "uniform"] = "examples"

    name: ClassVar[str] = "fedsgd"
    title: ClassVar[str] = "FedSGD"
    source: ClassVar[str] = "McMahan et al., AISTATS 2017, arXiv:1602.05629"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("server_lr", 0.1, "η, step of the server", low=0.0, high=100.0),
        Parameter("server_momentum", 0.0, "β, how much of the momentum stays", low=0.0, high=0.999999),
        Parameter("batch", 0, "examples of a client's random batch; 0: all it has", low=0, high=1 << 40),
        Parameter(
            "weight_by",
            "examples",
            "what a client's weight follows: its examples, its batch, or nothing (rewards always count)",
            choices=("examples", "batch", "uniform"),
        ),
    )

    def update_specs(self, state: ServerState, client: ClientId, rules: MergeRules) -> Specs:
        """Return the model's tensors, with gradients in place of parameters, and the size of the batch."""
        return {**super().update_specs(state, client, rules), BATCH: ("I64", ())}

    def scorable(self, state: ServerState, source: TensorSource, parts: Parts) -> Weights | None:
        """Return the model after one step along this client's gradient."""
        if parts.local:
            return None
        return _stepped(state.weights, source, parts.trainable, self.server_lr)

    @property
    def plain_pull(self) -> None:
        """No step is made."""

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Compute one gradient and leave the model one step along it. Raises `TaskFailed` if not finite."""
        if not len(data):
            raise InvalidData("there is no training example")
        self.fit(model, state.weights)
        count = min(self.batch, len(data)) if self.batch else len(data)
        loss = mean_gradient(model, data, count, settings.batch_size, turn.seed)
        add_weight_decay(trainable_parameters(model), settings.weight_decay)
        gradients = _gradients(model)
        update = {**weights_of(model), **gradients, BATCH: np.array(count, np.int64)}
        if not all(is_finite(gradient) for gradient in gradients.values()):
            raise TaskFailed("the gradient is not finite", "Lower server_lr, and look for damaged examples.")
        local = _stepped(state.weights, MemorySource(update), gradients, self.server_lr)
        load_weights(model, local)
        if turn.on_step is not None:
            turn.on_step(1, 1, next(model.parameters()).new_tensor(loss))
        return LocalResult(local, len(data), 1, (loss,), update=update)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Step against the mean gradient."""
        ordered = self._weighed(contributing(updates), rules.cap_ratio)
        if not ordered:
            return state
        server, names = state.weights, frozenset(rules.parts.trainable)
        vectors = [
            Split(Direct(update.source, -1.0), Difference(update.source, server), names) for update in ordered
        ]
        delta = centre(vectors, [update.weight for update in ordered], server, rules)
        moments = Moments(state.parts.get(SERVER, {}), server)
        step = momentum_step(moments, delta, self.server_momentum, self.server_lr)
        merged = {**moved(server, rules.parts.trainable, step), **rest_of(ordered, server, rules, delta)}
        parts = {**state.parts, SERVER: moments.tensors} if self.server_momentum else state.parts
        return dataclasses.replace(state, weights=merged, parts=parts)

    def _weighed(self, updates: Sequence[Update], cap_ratio: float) -> Sequence[Update]:
        """Weigh the updates. A claimed batch counts at most `batch`, and at most `cap_ratio` medians."""
        if self.weight_by == "examples":
            return updates
        sizes = [1] * len(updates)
        if self.weight_by == "batch":
            batches = [extra_of(update.source, BATCH) for update in updates]
            sizes = [max(min(batch, self.batch or batch), 1) for batch in batches]
        weights = client_weights(sizes, [0] * len(sizes), cap_ratio=cap_ratio)
        return [
            dataclasses.replace(update, weight=weight * update.bonus)
            for update, weight in zip(updates, weights, strict=True)
        ]


def _gradients(model: nn.Module) -> dict[str, Array]:
    """Copy the gradients by the parameters' names; 0 for parameters that had no part in the loss."""
    gradients: dict[str, Array] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            gradients[name] = gradient.detach().to("cpu").contiguous().numpy().copy()
    return gradients


def _stepped(server: Weights, update: TensorSource, trainable: Collection[str], rate: float) -> Weights:
    """Return θ − η g, and the update's other tensors."""
    against = Direct(update, -1.0)
    model = moved(server, trainable, lambda name, start, stop: against.block(name, start, stop) * rate)
    return {name: model[name] if name in model else update.read(name).copy() for name in server}

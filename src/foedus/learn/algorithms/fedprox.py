"""FedProx. Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated optimization in heterogeneous networks.
MLSys 2020. https://arxiv.org/abs/1812.06127

    each client k of the round:  θ_k ≈ argmin_w F_k(w) + (μ/2) Σ_{tensors of P} ‖w − θ_t‖²
    gradient of the second term: μ (w − θ_t)
    server:                      as FedAvg, over all clients that returned, however much work they did

Kwon, Lee and Park (2025) write the term without the ½, so their μ = 0.1 is μ = 0.2 here:
`prox_convention = "paper"` reads μ their way.

When to use it: clients with skewed data, or with very different amounts of work per round. A large μ keeps
clients near the global model and learns slowly; 0.001 to 1 is usual. Cost: as FedAvg, plus one copy of the
model per client.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.state import trainable_parameters
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings, local_sgd


class ProximalPenalty:
    """(μ/2) Σ ‖w − base‖² over the given parameters, whose present values are the base."""

    def __init__(self, parameters: Sequence[torch.Tensor], mu: float) -> None:
        self._parameters = list(parameters)
        self._base = [parameter.detach().clone() for parameter in self._parameters]
        self._pull = [
            torch.empty_like(base) for base in self._base
        ]  # scratch, so that steps allocate nothing
        self._mu = mu

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add μ (w − base) to the gradients; parameters without gradient did not move and stay without."""
        torch._foreach_copy_(self._pull, self._parameters)
        torch._foreach_sub_(self._pull, self._base)
        used = [
            (p.grad, pull) for p, pull in zip(self._parameters, self._pull, strict=True) if p.grad is not None
        ]
        torch._foreach_add_([grad for grad, _ in used], [pull for _, pull in used], alpha=self._mu)

    @torch.no_grad()
    def value(self) -> float:
        """Return the penalty: half of μ times the SUM of squares over all tensors."""
        pairs = zip(self._parameters, self._base, strict=True)
        return self._mu / 2 * sum(float((p - base).double().square().sum()) for p, base in pairs)


@dataclass(frozen=True)
class FedProx(Strategy):
    """FedAvg whose clients are held back from wandering far away from the global model."""

    mu: float = 0.1
    prox_convention: Literal["half", "paper"] = "half"

    name: ClassVar[str] = "fedprox"
    title: ClassVar[str] = "FedProx"
    source: ClassVar[str] = "Li et al., MLSys 2020, arXiv:1812.06127"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("mu", 0.1, "proximal weight; 0 is FedAvg", low=0.0, high=1000.0),
        Parameter(
            "prox_convention",
            "half",
            "penalty is (mu/2)·Σ‖w−θ‖² or, as Kwon et al. write it, mu·Σ‖w−θ‖²",
            choices=("half", "paper"),
        ),
    )

    @property
    def effective_mu(self) -> float:
        """The weight of the pull μ (w − θ) in the gradient."""
        return 2 * self.mu if self.prox_convention == "paper" else self.mu

    @property
    def plain_pull(self) -> float:
        """SGD with the pull."""
        return self.effective_mu

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Train by SGD with the pull towards the base."""
        self.fit(model, state.weights)
        # Without the object at μ = 0, so that the bytes are FedAvg's.
        penalty = ProximalPenalty(trainable_parameters(model), self.effective_mu) if self.mu else None
        return local_sgd(model, data, settings, turn.seed, penalty=penalty, on_step=turn.on_step)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Take the weighted mean, as FedAvg does."""
        return merge_by_mean(state, updates, rules)

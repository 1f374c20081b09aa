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

from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.arguments import Parameter
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update


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

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Take the weighted mean, as FedAvg does."""
        return merge_by_mean(state, updates, rules)

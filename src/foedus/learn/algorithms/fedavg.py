"""FedAvg. McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-efficient learning of deep networks
from decentralized data. AISTATS 2017. https://arxiv.org/abs/1602.05629

    each client k of the round:  θ_k = E epochs of SGD on F_k, from θ_t
    server:                      θ_{t+1} = Σ_k w_k θ_k / Σ_k w_k        w_k ∝ n_k

When to use it: as the first thing to try, and whenever the clients' data are alike. With skewed labels it
drifts; FedProx, SCAFFOLD or a server optimiser then help. Cost: one model up and one down per client and
round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update


@dataclass(frozen=True)
class FedAvg(Strategy):
    """Average the clients' models, weighted by their examples (and rewards)."""

    name: ClassVar[str] = "fedavg"
    title: ClassVar[str] = "FedAvg"
    source: ClassVar[str] = "McMahan et al., AISTATS 2017, arXiv:1602.05629"

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Take the weighted mean."""
        return merge_by_mean(state, updates, rules)

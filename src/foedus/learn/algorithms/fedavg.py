"""FedAvg. McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-efficient learning of deep networks
from decentralized data. AISTATS 2017. https://arxiv.org/abs/1602.05629

    each client k of the round:  θ_k = E epochs of SGD on F_k, from θ_t
    server:                      θ_{t+1} = Σ_k w_k θ_k / Σ_k w_k        w_k ∝ n_k
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.state import load_weights
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.training import LocalResult, OnStep, TrainSettings, local_sgd
from foedus.learn.weights import Weights


@dataclass(frozen=True)
class FedAvg:
    """Average the clients' models, weighted by their examples (and rewards)."""

    name: ClassVar[str] = "fedavg"
    title: ClassVar[str] = "FedAvg"
    source: ClassVar[str] = "McMahan et al., AISTATS 2017, arXiv:1602.05629"
    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def steps(self, model: nn.Module) -> int:
        """One exchange per round."""
        return 1

    def init(self, weights: Weights) -> ServerState:
        """Start from the weights; nothing else is remembered."""
        return ServerState(weights)

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
        """Train by plain SGD."""
        load_weights(model, base)
        return local_sgd(model, data, settings, seed, on_step=on_step)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Take the weighted mean."""
        return merge_by_mean(state, updates, rules)

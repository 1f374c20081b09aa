"""FedOpt: adaptive optimisers at the server. Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan:
Adaptive federated optimization. ICLR 2021. https://arxiv.org/abs/2003.00295 (version 5, Algorithm 2)

    Δ = Σ_k w_k (θ_k − θ) / Σ_k w_k        m ← β1 m + (1 − β1) Δ            m starts at 0
    fedadagrad:  v ← v + Δ²                                                 v starts at τ²
    fedyogi:     v ← v − (1 − β2) Δ² sign(v − Δ²)
    fedadam:     v ← β2 v + (1 − β2) Δ²
    θ ← θ + η m / (√v + τ)

    fedavgm:     m ← β m + Δ;  θ ← θ + η m        Hsu, Qi, Brown 2019, https://arxiv.org/abs/1909.06335

As printed there is no bias correction, τ stands outside the root, and v sees the raw Δ. Only trainable
parameters go through the optimiser. m and v are part of the server state: two more models in float64.

v never forgets one huge Δ, or only slowly. So where the project has no robust rule, and from three clients
on, the adaptive three shorten updates to `clip_ratio` times the median length before Δ is taken. That takes
one more reading of the updates; `clip_ratio = 0` is the algorithm as published.

When to use it: when plain averaging moves slowly or unevenly, e.g. sparse or text models; FedAvgM against
rounds that pull to and fro. η needs tuning: start from the default and try factors of √10. Cost: nothing for
the clients, who train as in FedAvg.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from foedus.learn.algorithms._clip import CLIP_RATIO, clipped
from foedus.learn.algorithms._delta import (
    WEIGHT_BY,
    Moments,
    WeightBy,
    centre,
    contributing,
    mean_of_models,
    momentum_step,
    rest_of,
)
from foedus.learn.algorithms._moves import moves_of
from foedus.learn.arguments import Parameter
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Strategy, Update
from foedus.learn.vectors import Block, Step, Vector, moved

_SOURCE = "Reddi et al., ICLR 2021, arXiv:2003.00295"
_STEPS = "t"  # counter of the merges that the optimiser has made


def _parameters(server_lr: float, beta1: float) -> tuple[Parameter, ...]:
    return (
        Parameter("server_lr", server_lr, "η, step of the server's optimiser", low=0.0, high=100.0),
        Parameter("beta1", beta1, "β1, how much of the momentum stays", low=0.0, high=0.999999),
        Parameter("tau", 1e-3, "τ, degree of adaptivity: smaller adapts more", low=1e-12, high=10.0),
        Parameter(
            "v_init", "tau2", "v before the first merge: τ² as published, or 0", choices=("tau2", "zero")
        ),
        WEIGHT_BY,
        CLIP_RATIO,
    )


_DECAY = (
    Parameter("beta2", 0.99, "β2, how much of v stays", low=0.0, high=0.999999),
    Parameter("bias_correction", False, "η √(1 − β2ᵗ) / (1 − β1ᵗ) instead of η, which is not as published"),
)


@dataclass(frozen=True)
class _Adaptive(Strategy):
    """Algorithm 2; the kinds differ in how v follows Δ²."""

    server_lr: float
    beta1: float
    tau: float = 1e-3
    v_init: Literal["tau2", "zero"] = "tau2"
    weight_by: WeightBy = "examples"
    clip_ratio: float = 3.0

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Let the optimiser make one step along the mean of the clients' moves."""
        ordered = contributing(updates, self.weight_by)
        if not ordered:
            return state
        server, count = state.weights, state.counters.get(_STEPS, 0) + 1
        moments = Moments(state.parts.get(SERVER, {}), server)
        vectors: Sequence[Vector] = moves_of(ordered, server)
        if rules.robust.is_plain:
            vectors = clipped(vectors, server, rules.parts.trainable, self.clip_ratio)
        delta = centre(vectors, [update.weight for update in ordered], server, rules)
        merged = moved(server, rules.parts.trainable, self._step(moments, delta, self._rate(count)))
        return dataclasses.replace(
            state,
            weights={**merged, **rest_of(ordered, server, rules, delta)},
            parts={**state.parts, SERVER: moments.tensors},
            counters={**state.counters, _STEPS: count},
        )

    def _step(self, moments: Moments, delta: Vector, rate: float) -> Step:
        initial = self.tau * self.tau if self.v_init == "tau2" else 0.0

        def step(name: str, start: int, stop: int) -> Block:
            change = delta.block(name, start, stop)
            m = moments.read("m", name, start, stop) * self.beta1
            m += change * (1 - self.beta1)
            change *= change
            v = self._second_moment(moments.read("v", name, start, stop, initial), change)
            moments.write("m", name, start, m)
            moments.write("v", name, start, v)
            divisor = np.sqrt(v)
            divisor += self.tau
            m *= rate
            m /= divisor
            return m

        return step

    def _second_moment(self, v: Block, square: Block) -> Block:
        """Return the next v from the last one and Δ²."""
        raise NotImplementedError

    def _rate(self, count: int) -> float:
        """Return η for the merge number `count`, from 1."""
        return self.server_lr


@dataclass(frozen=True)
class _Decaying(_Adaptive):
    """Kinds whose v forgets."""

    server_lr: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    bias_correction: bool = False

    parameters: ClassVar[tuple[Parameter, ...]] = (*_parameters(0.01, 0.9), *_DECAY)

    def _rate(self, count: int) -> float:
        if not self.bias_correction:
            return self.server_lr
        kept = math.sqrt(1 - _power(self.beta2, count))
        return self.server_lr * kept / (1 - _power(self.beta1, count))


@dataclass(frozen=True)
class FedAdagrad(_Adaptive):
    """FedOpt with Adagrad: steps shrink where clients have moved much so far."""

    server_lr: float = 0.1
    beta1: float = 0.0

    name: ClassVar[str] = "fedadagrad"
    title: ClassVar[str] = "FedAdagrad"
    source: ClassVar[str] = _SOURCE
    parameters: ClassVar[tuple[Parameter, ...]] = _parameters(0.1, 0.0)

    def _second_moment(self, v: Block, square: Block) -> Block:
        v += square
        return v


@dataclass(frozen=True)
class FedYogi(_Decaying):
    """FedOpt with Yogi: like Adam, but v falls slowly when moves become small."""

    name: ClassVar[str] = "fedyogi"
    title: ClassVar[str] = "FedYogi"
    source: ClassVar[str] = _SOURCE

    def _second_moment(self, v: Block, square: Block) -> Block:
        direction = np.sign(v - square)
        square *= 1 - self.beta2
        square *= direction
        v -= square
        return v


@dataclass(frozen=True)
class FedAdam(_Decaying):
    """FedOpt with Adam: steps follow how much clients moved lately, per parameter."""

    name: ClassVar[str] = "fedadam"
    title: ClassVar[str] = "FedAdam"
    source: ClassVar[str] = _SOURCE

    def _second_moment(self, v: Block, square: Block) -> Block:
        v *= self.beta2
        square *= 1 - self.beta2
        v += square
        return v


@dataclass(frozen=True)
class FedAvgM(Strategy):
    """FedAvg whose server keeps moving in the direction of earlier rounds (server momentum)."""

    server_lr: float = 1.0
    server_momentum: float = 0.9
    weight_by: WeightBy = "examples"

    name: ClassVar[str] = "fedavgm"
    title: ClassVar[str] = "FedAvgM"
    source: ClassVar[str] = "Hsu, Qi, Brown 2019, arXiv:1909.06335; Reddi et al., ICLR 2021"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "server_lr", 1.0, "η, step of the server; 1 without momentum is FedAvg", low=0.0, high=100.0
        ),
        Parameter("server_momentum", 0.9, "β, how much of the momentum stays", low=0.0, high=0.999999),
        WEIGHT_BY,
    )

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Move by the momentum; plain FedAvg, to the byte, when η = 1 and there is none."""
        ordered = contributing(updates, self.weight_by)
        if not ordered:
            return state
        if self.server_lr == 1 and not self.server_momentum:
            return dataclasses.replace(state, weights=mean_of_models(state, ordered, rules))
        server = state.weights
        moments = Moments(state.parts.get(SERVER, {}), server)
        vectors = moves_of(ordered, server)
        delta = centre(vectors, [update.weight for update in ordered], server, rules)
        step = momentum_step(moments, delta, self.server_momentum, self.server_lr)
        merged = {**moved(server, rules.parts.trainable, step), **rest_of(ordered, server, rules, delta)}
        parts = {**state.parts, SERVER: moments.tensors} if self.server_momentum else state.parts
        return dataclasses.replace(state, weights=merged, parts=parts)


def _power(base: float, exponent: int) -> float:
    """Return base ** exponent by multiplication: `pow` of the C library differs between systems."""
    result = 1.0
    for _ in range(exponent):
        result *= base
        if not result:
            break
    return result

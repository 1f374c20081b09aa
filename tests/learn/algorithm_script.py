"""Made-up rounds of every algorithm; run as a program it prints the hash of where they lead.

Run by a test under several environments.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from foedus.core.records import WAD
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update
from foedus.learn.weights import MemorySource, Parts, Weights

NAMES = sorted({info.name for info in describe()} - {"fedma"})  # which needs a model's layers

SHAPES = {"a": (70, 1001), "b": (33,), "s": (), "bn.running_mean": (9,), "bn.running_var": (9,)}
PARTS = Parts(
    ("a", "b", "s"),
    frozen=("z",),
    float_buffers=("bn.running_mean", "bn.running_var"),
    other_buffers=("bn.num_batches_tracked",),
)
RULES = MergeRules(PARTS, "pooled")
MEDIAN = RobustRule("median")
CHOOSING = RobustRule("multi-krum", byzantine=1)


def server() -> ServerState:
    """Version 0: more than one block of one tensor, a scalar, and every kind of buffer."""
    random = np.random.default_rng(7)
    weights = {name: _normal(random, shape) for name, shape in SHAPES.items()}
    return ServerState({**weights, "bn.num_batches_tracked": np.array(3), "z": np.ones(2, np.float32)})


def updates_of(strategy: Strategy, state: ServerState, seed: int, clients: str = "abcde") -> list[Update]:
    """What clients might hand over in one round, from the state."""
    random = np.random.default_rng(seed)
    updates = []
    for number, client in enumerate(clients):
        weights: dict[str, np.ndarray] = {}
        for name, (kind, shape) in strategy.update_specs(state, client, RULES).items():
            if name.startswith("@"):
                weights[name] = np.array(int(random.integers(1, 9)))
            elif name == "z":
                weights[name] = state.weights[name].copy()
            elif kind == "I64":
                weights[name] = np.array(int(random.integers(4, 99)))
            else:
                weights[name] = state.weights[name] + _normal(random, shape)
        weight, bonus = int(random.integers(1, 10**18)) * 991, WAD + number * WAD // 7
        updates.append(Update(client, MemorySource(weights), weight, bonus))
    return updates


def play(
    strategy: Strategy, rounds: Sequence[str] = ("abc", "bcde", "abcde"), rules: MergeRules = RULES
) -> ServerState:
    """Some rounds with other clients in each."""
    state = server()
    for seed, clients in enumerate(rounds):
        state = strategy.aggregate(state, updates_of(strategy, state, seed, clients), rules)
    return state


def robust_rule(name: str) -> RobustRule:
    """A rule that the algorithm takes."""
    return CHOOSING if name == "fedheal" else MEDIAN


def bytes_of(state: ServerState) -> bytes:
    """All that a state consists of."""
    return repr(
        [
            [(name, str(a.dtype), a.shape, a.tobytes()) for name, a in sorted(tensors.items())]
            for tensors in (state.weights, *(state.parts[part] for part in sorted(state.parts)))
        ]
        + [sorted(state.counters.items())]
    ).encode()


def main() -> None:
    digest = hashlib.sha256()
    for name in NAMES:
        for robust in (MEAN, robust_rule(name)):
            rules = dataclasses.replace(RULES, robust=robust)
            digest.update(bytes_of(play(get_strategy(name), ("abcde", "bcdef", "abcdefg"), rules)))
    print(digest.hexdigest())


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    return np.asarray(random.normal(size=shape).astype(np.float32) ** 2)


if __name__ == "__main__":
    main()

"""Where the server goes: θ plus what was decided, in the tensors' own types."""

import warnings

import numpy as np
import pytest
from learn_tools import VECTOR

from foedus.learn.algorithms import get_strategy
from foedus.learn.robust import RobustRule
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.vectors import BLOCK, Known, moved
from foedus.learn.weights import MemorySource

LARGEST = np.finfo(np.float32).max


def test_steps_are_added_in_float64_and_rounded_once() -> None:
    server = {"w": np.full((3, BLOCK), 1.0, np.float32), "other": np.zeros(1)}
    step = np.arange(3.0 * BLOCK) * 1e-9
    found = moved(server, ["w"], Known({"w": step}).block)
    assert found.keys() == {"w"}
    assert found["w"].dtype == np.float32
    assert found["w"].tobytes() == (1.0 + step).reshape(3, BLOCK).astype(np.float32).tobytes()
    assert not np.shares_memory(found["w"], server["w"])


@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fedprox"])
def test_beyond_the_type_is_infinite_without_a_warning(name: str) -> None:
    state = ServerState({"w": np.full(2, 0.9 * LARGEST, np.float32)})
    far = MemorySource({"w": np.full(2, LARGEST, np.float32)})
    strategy = get_strategy(name, {"server_lr": 100.0} if name == "fedavgm" else {})
    rules = MergeRules(VECTOR, robust=RobustRule("median"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = strategy.aggregate(state, [Update(f"c{k}", far, 1) for k in range(3)], rules)
        assert moved(state.weights, ["w"], Known({"w": np.full(2, 1e39)}).block)["w"].tolist() == [np.inf] * 2
    assert np.isinf(merged.weights["w"]).all() == (name == "fedavgm")

"""Shortening by the median length, and states that left their types."""

import numpy as np
import pytest
from learn_tools import VECTOR

from foedus.core.errors import InvalidData
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms._clip import clipped, factors, lengths_of, limit_of
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Update, part_of, require_finite
from foedus.learn.vectors import BLOCK, Direct
from foedus.learn.weights import MemorySource


def vector(*values: float) -> Direct:
    return Direct(MemorySource({"w": np.array(values)}))


def test_lengths_are_over_all_blocks_and_named_tensors_only() -> None:
    source = MemorySource({"w": np.full(BLOCK + 5, 2.0), "v": np.full((2, 2), 3.0), "other": np.ones(1)})
    found = lengths_of([Direct(source)], source.weights, ["w", "v"])
    assert found == [pytest.approx(np.sqrt(4 * (BLOCK + 5) + 9 * 4), rel=1e-15)]


def test_only_those_beyond_the_limit_are_shortened() -> None:
    assert factors([1.0, 2.0, 100.0, np.inf], limit_of([1.0, 2.0, 100.0, np.inf], 0.5)) == [
        1.0,
        1.0,
        0.255,
        0.0,
    ]
    assert factors([0.0, 0.0, 5.0], limit_of([0.0, 0.0, 5.0], 3.0)) == [1.0] * 3


def test_a_vector_beyond_measure_becomes_zero() -> None:
    vectors = [vector(1.0, 0.0), vector(0.0, 1.0), vector(-1e300, 1e300)]
    found = clipped(vectors, {"w": np.zeros(2)}, ["w"], 3.0)
    assert [list(each.block("w", 0, 2)) for each in found] == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    assert clipped(vectors, {"w": np.zeros(2)}, ["w"], 0.0) is vectors
    assert clipped(vectors[1:], {"w": np.zeros(2)}, ["w"], 3.0) == vectors[1:]


def test_a_state_beyond_its_types_is_no_candidate() -> None:
    good = {"w": np.zeros(2)}
    before = ServerState(good, {SERVER: good, part_of("old"): {"w": np.array([np.nan])}})
    require_finite(ServerState(good, {**before.parts, part_of("a"): {"n": np.array([3])}}), before)
    with pytest.raises(InvalidData, match="'w' of the model"):
        require_finite(ServerState({"w": np.array([0.0, np.inf])}), before)
    with pytest.raises(InvalidData, match="'v/w' of server"):
        require_finite(ServerState(good, {SERVER: {"v/w": np.array([np.inf])}}), before)


def test_a_moment_beyond_float64_is_found_though_the_model_is_finite() -> None:
    state = ServerState({"w": np.zeros(1)})
    huge = Update("a", MemorySource({"w": np.array([1e200])}), 1)
    with np.errstate(over="ignore"):
        merged = get_strategy("fedadam").aggregate(state, [huge], MergeRules(VECTOR))
    assert np.isfinite(merged.weights["w"]).all()
    with pytest.raises(InvalidData, match="v/w"):
        require_finite(merged, state)

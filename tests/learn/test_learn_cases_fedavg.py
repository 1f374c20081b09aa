"""cases/fedavg.json: the merge rules that all algorithms share."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from learn_tools import VECTOR, average, cases, floats, usable

from foedus.core.errors import InvalidData, UpdateRefused
from foedus.learn.aggregation import client_weights, weighted_mean
from foedus.learn.algorithms import get_strategy
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.weights import MemorySource, Parts, Weights

MEANS = (
    "avg_weighted",
    "avg_single_client",
    "avg_zero_sample_client_is_ignored",
    "avg_nonfinite_client_rejected",
    "avg_partial_participation",
)


def inputs_of(case: str) -> dict:
    return cases("fedavg")[case]["inputs"]


@pytest.mark.parametrize("name", MEANS)
def test_mean(name: str) -> None:
    case = cases("fedavg")[name]
    merged = average([floats(v) for v in case["inputs"]["values"]], case["inputs"]["n"])["w"]
    np.testing.assert_allclose(merged, case["expected"], rtol=0, atol=case["tol"])
    for trap in case.get("traps", {}).values():
        if not isinstance(trap, str):
            assert not np.allclose(merged, trap)


def test_negative_examples_are_an_error() -> None:
    with pytest.raises(InvalidData):
        client_weights(inputs_of("avg_negative_n")["n"], [0, 0])
    with pytest.raises(InvalidData):
        weighted_mean([MemorySource({})] * 2, inputs_of("avg_negative_n")["n"], {}, VECTOR)


@pytest.mark.parametrize("number", [float("nan"), 1.5, None])
def test_examples_that_are_no_whole_number_are_an_error(number: object) -> None:
    with pytest.raises(InvalidData):
        client_weights([number, 3], [0, 0])


def test_integer_buffer_is_the_maximum_of_those_who_contribute() -> None:
    case = cases("fedavg")["avg_int_buffer"]
    values = [np.array(v, dtype=np.int64) for v in case["inputs"]["values"]]
    merged = average(values, case["inputs"]["n"], Parts((), other_buffers=("w",)))["w"]
    assert merged.dtype == np.int64
    assert merged == case["expected"]
    assert merged not in case["traps"].values()


def test_bool_buffer_is_the_servers() -> None:
    case = cases("fedavg")["avg_bool_buffer"]
    values = [np.array(v) for v in case["inputs"]["values"]]
    server = {"w": np.array(case["inputs"]["server"])}
    merged = average(values, case["inputs"]["n"], Parts((), other_buffers=("w",)), server)["w"]
    assert merged.tolist() == case["expected"]
    assert merged.dtype == np.bool_


@pytest.mark.parametrize("mode", ["average", "pooled"])
def test_running_statistics(mode: str) -> None:
    case = cases("fedavg")["avg_bn_running_stats"]
    given = case["inputs"]
    clients = [
        {"n.running_mean": floats(m), "n.running_var": floats(v)}
        for m, v in zip(given["running_mean"], given["running_var"], strict=True)
    ]
    parts = Parts((), float_buffers=("n.running_mean", "n.running_var"))
    server = {name: np.zeros(2) for name in parts.float_buffers}
    state = get_strategy("fedavg").aggregate(
        ServerState(server), usable(clients, given["n"], server, parts), MergeRules(parts, mode)
    )
    expected = case["expected"][f"mode_{mode}"]
    np.testing.assert_allclose(state.weights["n.running_mean"], expected["mean"], atol=case["tol"])
    np.testing.assert_allclose(state.weights["n.running_var"], expected["var"], atol=case["tol"])


def test_shapes_are_never_broadcast() -> None:
    given = inputs_of("avg_shape_mismatch")
    states = [{name: floats(v) for name, v in state.items()} for state in given["states"]]
    with pytest.raises(UpdateRefused) as caught:
        weighted_mean([MemorySource(s) for s in states], given["n"], states[0], VECTOR)
    assert caught.value.code == "shape"


def test_order_of_arrival_does_not_matter() -> None:
    case = cases("fedavg")["avg_order_invariance"]
    server = {"w": np.zeros(2)}
    updates = [
        Update(f"c{k}", MemorySource({"w": floats(v)}), n)
        for k, (v, n) in enumerate(zip(case["inputs"]["values"], case["inputs"]["n"], strict=True))
    ]
    results = [
        get_strategy("fedavg").aggregate(ServerState(server), order, MergeRules(VECTOR)).weights["w"]
        for order in itertools.permutations(updates)
    ]
    np.testing.assert_allclose(results[0], case["expected"], atol=case["tol"])
    assert len({result.tobytes() for result in results}) == 1


def test_inputs_are_not_modified_and_share_no_storage() -> None:
    given = inputs_of("avg_inputs_not_modified")
    values = [floats(v) for v in given["values"]]
    server = {"w": np.zeros(2), "z": np.ones(2), "m": np.array([True, False]), "i": np.array([1, 2])}
    parts = Parts(("w",), frozen=("z",), other_buffers=("i", "m"))
    clients = [{**server, "w": value} for value in values]
    before = [value.copy() for value in values]
    merged = average_of_models(clients, given["n"], server, parts)
    for value, old in zip(values, before, strict=True):
        assert value.tobytes() == old.tobytes()
    assert server["w"].tolist() == [0, 0]
    for name, result in merged.items():
        assert not any(np.shares_memory(result, client[name]) for client in [server, *clients])


def average_of_models(
    clients: Sequence[Weights], counts: Sequence[int], server: Weights, parts: Parts
) -> Weights:
    updates = usable(clients, counts, server, parts)
    return get_strategy("fedavg").aggregate(ServerState(server), updates, MergeRules(parts)).weights


def test_all_cases_are_covered() -> None:
    named = {
        *MEANS,
        "avg_negative_n",
        "avg_int_buffer",
        "avg_bool_buffer",
        "avg_bn_running_stats",
        "avg_shape_mismatch",
        "avg_order_invariance",
        "avg_inputs_not_modified",
    }
    assert named == set(cases("fedavg"))

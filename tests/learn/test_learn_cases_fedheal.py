"""cases/fedheal.json: whole traces of FedHEAL, with its state as the store would have it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from learn_tools import cases

from foedus.learn.algorithms import get_strategy
from foedus.learn.strategy import MergeRules, ServerState, Update, part_of
from foedus.learn.weights import MemorySource, Parts, Weights

Deltas = Mapping[str, Mapping[str, Sequence[float]]]


def arrays(tensors: Mapping[str, Any]) -> Weights:
    return {name: np.array(values, dtype=np.float64) for name, values in tensors.items()}


def merge(state: ServerState, deltas: Deltas, **params: float | str) -> ServerState:
    """One round in which each client moved by its delta."""
    updates = [
        Update(client, MemorySource({n: state.weights[n] + np.array(d) for n, d in moved.items()}), 1)
        for client, moved in deltas.items()
    ]
    rules = MergeRules(Parts(tuple(sorted(state.weights))))
    return get_strategy("fedheal", params).aggregate(state, updates, rules)


def replay(case: Mapping[str, Any], expected: Sequence[Any], **params: float | str) -> list[ServerState]:
    """Run the case's rounds and compare all that a state shows: model, history, weights."""
    given = case["inputs"]
    params = {"tau": given["tau"], "beta": given["beta"], **params}
    state, states = ServerState(arrays(given["theta0"])), []
    for deltas, wanted in zip(given["rounds_delta_local_minus_global"], expected, strict=True):
        state = merge(state, deltas, **params)
        states.append(state)
        for name, values in wanted["theta"].items():
            np.testing.assert_allclose(state.weights[name], values, rtol=0, atol=case["tol"])
        for client in wanted.get("p_unnormalised", {}):
            assert_part(state.parts[part_of(client)], client, wanted, case["tol"], params)
    return states


def assert_part(part: Weights, client: str, wanted: Mapping[str, Any], tol: float, params: Mapping) -> None:
    assert part["@dp"] == pytest.approx(wanted["delta_p"][client], abs=tol)
    if params["store"] == "running_sum":
        assert part["@p"] == pytest.approx(wanted["p_unnormalised"][client], abs=tol)
    for name, rate in wanted["consistency_rate_nonneg_u"][client].items():
        assert part[name].dtype == np.int16
        np.testing.assert_allclose(part[name] / part["@rounds"], rate, atol=tol)


@pytest.mark.parametrize(
    "case_id",
    [
        "heal_4_rounds",
        "heal_partial_participation",
        "heal_distance_definition",
        "heal_fael_only",
        "heal_all_zero_distance",
        "heal_reduces_to_uniform_average",
    ],
)
def test_trace_with_running_sums(case_id: str) -> None:
    case = cases("fedheal")[case_id]
    replay(case, case["expected"], store="running_sum")


def test_trace_with_normalised_weights() -> None:
    case = cases("fedheal")["heal_partial_participation"]
    states = replay(case, case["expected_store_normalised"], store="normalised")
    for state, wanted in zip(states, case["expected_store_normalised"], strict=True):
        for client, weight in wanted["p_unnormalised"].items():
            assert state.parts[part_of(client)]["@p"] == pytest.approx(weight, abs=case["tol"])


def test_normalised_weights_of_those_who_always_come_stay_one_in_sum() -> None:
    case = cases("fedheal")["heal_fael_only"]
    state = ServerState(arrays(case["inputs"]["theta0"]))
    for deltas in case["inputs"]["rounds_delta_local_minus_global"]:
        state = merge(state, deltas)
        assert sum(float(part["@p"]) for part in state.parts.values()) == pytest.approx(1)


def test_distance_is_not_that_of_the_concatenation() -> None:
    case = cases("fedheal")["heal_distance_definition"]
    given = case["inputs"]
    state = ServerState(arrays(given["theta0"]))
    merged = merge(state, given["rounds_delta_local_minus_global"][0], store="running_sum").weights
    trap = case["option_l2"][0]["theta"]
    assert all(not np.allclose(merged[name], trap[name], atol=1e-6) for name in merged)


def test_three_of_ten_are_not_more_than_three_tenths() -> None:
    case = cases("fedheal")["heal_threshold_is_strict"]
    given, wanted = case["inputs"], case["expected"]
    state = ServerState(arrays(given["theta0"]))
    before = state
    for sign in given["signs"]:
        before, state = state, merge(state, {"A": {"w": [float(sign)]}}, tau=given["tau"])
    part = before.parts[part_of("A")]
    assert part["@rounds"] == wanted["history"]
    assert part["@rounds"] - part["w"][0] == wanted["same_sign_count"]
    is_kept = bool(state.weights["w"] != before.weights["w"])
    assert [float(is_kept)] == wanted["mask_round_11"] != case["note_ref_float_result"]


def test_half_is_not_more_than_half() -> None:
    case = cases("fedheal")["heal_threshold_strict_exact"]
    given = case["inputs"]
    state = ServerState(arrays(given["theta0"]))
    for delta, theta in zip(given["deltas"], case["expected"]["theta"], strict=True):
        state = merge(state, {"A": {"w": [delta]}}, tau=given["tau"], beta=given["beta"])
        np.testing.assert_allclose(state.weights["w"], theta, atol=case["tol"])


@pytest.mark.parametrize("store", ["running_sum", "normalised"])
def test_late_joiner(store: str) -> None:
    case = cases("fedheal")["heal_late_joiner_weight"]
    given, wanted = case["inputs"], case["expected"][store]
    state = ServerState(arrays(given["theta0"]))
    params = {"tau": given["tau"], "beta": given["beta"], "store": store}
    for _ in range(50):
        state = merge(state, {"A": {"w": [1.0]}, "B": {"w": [1.0]}}, **params)
    before = state
    state = merge(state, {client: {"w": [1.0]} for client in "ABC"}, **params)
    stored = {client: float(state.parts[part_of(client)]["@p"]) for client in "ABC"}
    total = sum(stored.values())
    assert {client: p / total for client, p in stored.items()} == pytest.approx(wanted, abs=case["tol"])
    assert state.weights["w"] == pytest.approx(before.weights["w"] + 1)


def test_all_cases_are_covered() -> None:
    named = {
        "heal_4_rounds",
        "heal_partial_participation",
        "heal_distance_definition",
        "heal_fael_only",
        "heal_all_zero_distance",
        "heal_reduces_to_uniform_average",
        "heal_threshold_is_strict",
        "heal_threshold_strict_exact",
        "heal_late_joiner_weight",
    }
    assert named == set(cases("fedheal"))

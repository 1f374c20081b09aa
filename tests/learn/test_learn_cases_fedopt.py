"""cases/fedopt.json: Algorithm 2 step by step, and none of the variants that other implementations have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from learn_tools import VECTOR, cases

from foedus.learn.algorithms import get_strategy
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Strategy, Update
from foedus.learn.weights import MemorySource, Parts
from foedus.store import decode, encode

KINDS = ("adagrad", "adam", "yogi")


def optimizer(kind: str, given: Mapping[str, Any], **more: float | str | bool) -> Strategy:
    names = {"eta": "server_lr", "beta1": "beta1", "beta2": "beta2", "tau": "tau"}
    params = {names[key]: value for key, value in given.items() if key in names}
    if kind == "adagrad":
        params.pop("beta2", None)
    return get_strategy(f"fed{kind}", {**params, **more})


def merge(
    strategy: Strategy, state: ServerState, deltas: Sequence[Sequence[float]], counts: Sequence[int]
) -> ServerState:
    updates = [
        Update(f"c{k}", MemorySource({"w": state.weights["w"] + np.array(delta)}), count)
        for k, (delta, count) in enumerate(zip(deltas, counts, strict=True))
    ]
    return strategy.aggregate(state, updates, MergeRules(VECTOR))


def trace(strategy: Strategy, given: Mapping[str, Any]) -> list[ServerState]:
    state, states = ServerState({"w": np.array(given["x0"])}), []
    for delta in given["deltas"]:
        state = merge(strategy, state, [delta], [1])
        states.append(state)
    return states


def positions(states: Sequence[ServerState]) -> np.ndarray:
    return np.array([state.weights["w"] for state in states])


@pytest.mark.parametrize("kind", KINDS)
def test_four_steps(kind: str) -> None:
    case = cases("fedopt")[f"opt_{kind}_4steps"]
    states = trace(optimizer(kind, case["inputs"]), case["inputs"])
    for state, wanted in zip(states, case["expected"], strict=True):
        np.testing.assert_allclose(state.weights["w"], wanted["x"], rtol=0, atol=case["tol"])
        for which in ("m", "v"):
            np.testing.assert_allclose(state.parts[SERVER][f"{which}/w"], wanted[which], rtol=0, atol=1e-14)
    assert states[-1].counters == {"t": 4}
    for trap in case["traps"].values():
        assert not np.allclose(positions(states), trap, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_options_give_the_variants(kind: str) -> None:
    case = cases("fedopt")[f"opt_{kind}_4steps"]
    zero = trace(optimizer(kind, case["inputs"], v_init="zero"), case["inputs"])
    np.testing.assert_allclose(positions(zero), case["traps"]["v_init_zero"], atol=case["tol"])
    if kind != "adagrad":
        corrected = trace(optimizer(kind, case["inputs"], bias_correction=True), case["inputs"])
        np.testing.assert_allclose(
            positions(corrected), case["traps"]["kingma_bias_correction"], atol=case["tol"]
        )


def test_delta_is_weighted_by_examples() -> None:
    case = cases("fedopt")["opt_weighted_delta"]
    given = case["inputs"]
    state = ServerState({"w": np.array(given["x0"])})
    merged = merge(optimizer(given["kind"], given), state, given["client_deltas"], given["n"])
    assert merged.weights["w"] == pytest.approx(case["expected"], abs=case["tol"])
    uniform = optimizer(given["kind"], given, weight_by="uniform")
    unweighted = merge(uniform, state, given["client_deltas"], given["n"]).weights["w"]
    assert unweighted == pytest.approx(case["traps"]["uniform"], abs=case["tol"])


def test_empty_round_keeps_the_state() -> None:
    case = cases("fedopt")["opt_empty_round_keeps_state"]
    given, wanted = case["inputs"], case["expected"]
    strategy = optimizer(given["kind"], given)
    first = merge(strategy, ServerState({"w": np.array(given["x0"])}), [given["rounds"][0]], [1])
    state = strategy.aggregate(first, [], MergeRules(VECTOR))
    assert state is first
    assert state.weights["w"] == pytest.approx(wanted["x"], abs=case["tol"])
    assert state.parts[SERVER]["m/w"] == pytest.approx(wanted["m"], abs=case["tol"])
    assert state.parts[SERVER]["v/w"] == pytest.approx(wanted["v"], abs=case["tol"])
    trap = merge(strategy, first, [[0.0]], [1]).weights["w"]
    assert trap == pytest.approx(case["traps"]["treated_as_zero_delta"], abs=case["tol"])


def test_plain_server_is_fedavg() -> None:
    case = cases("fedopt")["opt_sgd_server_is_fedavg"]
    given = case["inputs"]
    state = ServerState({"w": np.array(given["x0"])})
    updates = [
        Update(f"c{k}", MemorySource({"w": np.array(values)}), count)
        for k, (values, count) in enumerate(zip(given["client_states"], given["n"], strict=True))
    ]
    plain = get_strategy("fedavgm", {"server_lr": given["eta"], "server_momentum": 0.0})
    merged = plain.aggregate(state, updates, MergeRules(VECTOR))
    assert merged.weights["w"] == pytest.approx(case["expected"], abs=case["tol"])
    average = get_strategy("fedavg").aggregate(state, updates, MergeRules(VECTOR))
    assert merged.weights["w"].tobytes() == average.weights["w"].tobytes()


@pytest.mark.parametrize("kind", ["adagrad", "adam", "yogi", "avgm"])
def test_buffers_do_not_go_through_the_optimizer(kind: str) -> None:
    case = cases("fedopt")["opt_buffers_bypass"]
    given = case["inputs"]
    parts = Parts(("w",), float_buffers=("mean",), other_buffers=("batches",))
    server = {"w": np.zeros(1), "mean": np.array(given["server_running_mean"]), "batches": np.array(1)}
    updates = [
        Update(
            f"c{k}",
            MemorySource({"w": np.ones(1), "mean": np.array(mean), "batches": np.array(5 - k)}),
            count,
        )
        for k, (mean, count) in enumerate(zip(given["client_running_mean"], given["n"], strict=True))
    ]
    merged = get_strategy(f"fed{kind}").aggregate(ServerState(server), updates, MergeRules(parts))
    assert merged.weights["mean"] == pytest.approx(case["expected"], abs=case["tol"])
    assert merged.weights["batches"] == 5
    assert not any("mean" in name for name in merged.parts[SERVER])


def test_resumed_after_two_rounds() -> None:
    assert cases("fedopt")["opt_resume"]["inputs"] == "opt_adam_4steps"
    given = cases("fedopt")["opt_adam_4steps"]["inputs"]
    strategy = optimizer("adam", given)
    whole = trace(strategy, given)
    state = ServerState(
        decode(b"".join(encode(whole[1].weights))),
        {name: decode(b"".join(encode(part))) for name, part in whole[1].parts.items()},
        dict(whole[1].counters),
    )
    for delta, wanted in zip(given["deltas"][2:], whole[2:], strict=True):
        state = merge(strategy, state, [delta], [1])
        assert state.weights["w"].tobytes() == wanted.weights["w"].tobytes()


def test_constant_delta_has_a_closed_form() -> None:
    case = cases("fedopt")["opt_adagrad_constant_delta"]
    given = case["inputs"]
    strategy, state = optimizer("adagrad", given), ServerState({"w": np.zeros(1)})
    for wanted, closed in zip(case["expected"], case["closed_form"], strict=True):
        state = merge(strategy, state, [[given["delta"]]], [1])
        assert state.weights["w"] == pytest.approx(wanted, abs=case["tol"])
        assert wanted == closed


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_moved_from_the_start(kind: str) -> None:
    strategy = get_strategy(f"fed{kind}", {"v_init": "zero"})
    merged = merge(strategy, ServerState({"w": np.array([2.0])}), [[0.0]], [1])
    assert merged.weights["w"] == [2.0]


def test_server_momentum_by_hand() -> None:
    strategy = get_strategy("fedavgm", {"server_momentum": 0.5, "server_lr": 2.0})
    state = ServerState({"w": np.zeros(1)})
    for delta, position in ((1.0, 2.0), (1.0, 5.0), (0.0, 6.5)):  # m: 1, 1.5, 0.75
        state = merge(strategy, state, [[delta]], [1])
        assert state.weights["w"] == [position]


@pytest.mark.parametrize("kind", KINDS)
def test_one_huge_update_does_not_stop_later_rounds(kind: str) -> None:
    """Finite, as float32 can hold it; v follows its square, and the steps after it would be tiny for good."""
    small = [[1.0, -1.0], [0.9, -1.1], [1.1, -0.9]]
    strategy = get_strategy(f"fed{kind}")
    state = ServerState({"w": np.zeros(2)})
    bounded = merge(strategy, state, [*small, [0.0, 1e38]], [1] * 4)
    by_hand = merge(strategy, state, [*small, [0.0, 3 * np.median([1.42, 1.34, 1.42, 1e38])]], [1] * 4)
    np.testing.assert_allclose(bounded.parts[SERVER]["v/w"], by_hand.parts[SERVER]["v/w"], rtol=0.05)
    later = merge(strategy, bounded, small, [1] * 3).weights["w"]
    assert np.abs(later - bounded.weights["w"]).min() > 1e-4
    published = get_strategy(f"fed{kind}", {"clip_ratio": 0.0})
    poisoned = merge(published, state, [*small, [0.0, 1e38]], [1] * 4)
    ruined = merge(published, poisoned, small, [1] * 3).weights["w"]
    assert poisoned.parts[SERVER]["v/w"].max() > 1e70
    if kind == "adagrad":  # the others' momentum is as huge as their v
        assert abs(ruined[1] - poisoned.weights["w"][1]) < 1e-30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deltas", [[[1.0], [-1.0], [1.0]], [[0.1], [9.0]], [[5.0]], [[0.0], [0.0], [4.0]]])
def test_updates_of_like_length_and_few_are_not_touched(kind: str, deltas: list[list[float]]) -> None:
    state = ServerState({"w": np.zeros(1)})
    found, published = (
        merge(get_strategy(f"fed{kind}", {"clip_ratio": ratio}), state, deltas, [1] * len(deltas))
        for ratio in (3.0, 0.0)
    )
    assert found.weights["w"].tobytes() == published.weights["w"].tobytes()


def test_all_cases_are_covered() -> None:
    named = {f"opt_{kind}_4steps" for kind in KINDS} | {
        "opt_weighted_delta",
        "opt_empty_round_keeps_state",
        "opt_sgd_server_is_fedavg",
        "opt_buffers_bypass",
        "opt_resume",
        "opt_adagrad_constant_delta",
    }
    assert named == set(cases("fedopt"))

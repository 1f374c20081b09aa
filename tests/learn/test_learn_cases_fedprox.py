"""cases/fedprox.json, through the real training loop on one-number models."""

import math

import numpy as np
import pytest
import torch
from learn_tools import VECTOR, Point, cases, quadratic, quadratic_data

from foedus.learn.algorithms import get_strategy
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.weights import MemorySource


def train(w: float, a: float, c: float, *, lr: float, steps: int, mu: float) -> float:
    """One client: `steps` steps of gradient descent from `w`."""
    model = Point(w)
    settings = TrainSettings(epochs=steps, batch_size=1, learning_rate=lr)
    penalty = ProximalPenalty([model.w], mu)
    result = local_sgd(model, quadratic_data(a, c), settings, 0, penalty=penalty, loss=quadratic)
    assert result.steps == steps
    return float(result.weights["w"][0])


def one_round(w: float, given: dict, steps: list[int], mu: float) -> float:
    """One round of all clients, with weights proportional to p."""
    updates = []
    for k, (a, c, p) in enumerate(zip(given["a"], given["c"], given["p"], strict=True)):
        local = train(w, a, c, lr=given["lr"], steps=steps[k], mu=mu)
        updates.append(Update(f"c{k}", MemorySource({"w": np.array([local])}), round(100 * p)))
    state = ServerState({"w": np.array([w])})
    return float(get_strategy("fedprox").aggregate(state, updates, MergeRules(VECTOR)).weights["w"][0])


@pytest.mark.parametrize("mu", ["0.0", "0.2", "1.0"])
def test_trajectory_and_fixed_point(mu: str) -> None:
    case = cases("fedprox")[f"prox_quadratic_mu{mu}"]
    given, expected = case["inputs"], case["expected"]
    steps = [given["local_steps"]] * 3
    w = given["w0"]
    assert w == expected["trajectory"][0]
    for value in expected["trajectory"][1:]:
        w = one_round(w, given, steps, given["mu"])
        assert w == pytest.approx(value, abs=case["tol"])
    fixed = expected["fixed_point"]
    assert one_round(fixed, given, steps, given["mu"]) == pytest.approx(fixed, abs=case["tol"])


def test_first_step_has_no_pull() -> None:
    case = cases("fedprox")["prox_first_step_has_no_pull"]
    given = case["inputs"]
    results = {one_round(given["w0"], given, [given["local_steps"]] * 3, mu) for mu in given["mu"]}
    assert len(results) == 1
    assert results.pop() == pytest.approx(case["expected"], abs=case["tol"])


def test_paper_convention_doubles_mu() -> None:
    case = cases("fedprox")["prox_paper_convention"]
    given = case["inputs"]
    strategy = get_strategy("fedprox", {"mu": given["mu"], "prox_convention": given["convention"]})
    w = one_round(given["w0"], given, [given["local_steps"]] * 3, strategy.effective_mu)
    assert w == pytest.approx(case["expected"], abs=case["tol"])
    assert w != pytest.approx(case["traps"]["half_convention"], abs=1e-6)


def test_penalty_is_half_mu_times_the_sum_of_squares() -> None:
    case = cases("fedprox")["prox_penalty_value"]
    differences = [torch.tensor(d) for d in case["inputs"]["differences"].values()]
    parameters = [torch.ones_like(d) for d in differences]
    penalty = ProximalPenalty(parameters, case["inputs"]["mu"])
    for parameter, difference in zip(parameters, differences, strict=True):
        parameter.add_(difference)
    assert penalty.value() == pytest.approx(case["expected"], abs=case["tol"])
    assert all(penalty.value() != pytest.approx(trap) for trap in case["traps"].values())


def test_clients_with_less_work_are_merged_too() -> None:
    case = cases("fedprox")["prox_variable_work"]
    given = case["inputs"]
    w = one_round(given["w0"], given, given["local_steps"], given["mu"])
    assert w == pytest.approx(case["expected"], abs=case["tol"])
    assert w != pytest.approx(case["traps"]["dropping_the_stragglers_like_fedavg"])


def test_stability_limit() -> None:
    case = cases("fedprox")["prox_stability_limit"]
    given = case["inputs"]
    numbers = {"lr": given["lr"], "steps": given["local_steps"]}
    w = train(given["w0"], given["a"], given["c"], **numbers, mu=given["mu"])
    assert w == pytest.approx(case["expected"]["value"], rel=case["tol"])
    assert math.isclose(1 - given["lr"] * (given["a"] + given["mu"]), case["expected"]["factor"])
    assert abs(train(given["w0"], given["a"], given["c"], **numbers, mu=0.0) - given["c"]) < 1


def test_all_cases_are_covered() -> None:
    named = {f"prox_quadratic_mu{mu}" for mu in ("0.0", "0.2", "1.0")} | {
        "prox_first_step_has_no_pull",
        "prox_paper_convention",
        "prox_penalty_value",
        "prox_variable_work",
        "prox_stability_limit",
    }
    assert named == set(cases("fedprox"))

"""The cases of cases/extra.json in which rewards meet algorithms that have weights of their own."""

import numpy as np
import pytest
from learn_tools import VECTOR, cases

from foedus.core.records import WAD
from foedus.learn.aggregation import client_bonuses, client_weights
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.fedheal import FedHeal, Share, rewarded
from foedus.learn.strategy import MergeRules, ServerState, Update, part_of
from foedus.learn.weights import MemorySource


def test_rewards_multiply_the_weights_of_fedheal() -> None:
    case = cases("extra")["compose_reward_fedheal"]
    given, wanted, tol = case["inputs"], case["expected"], case["tol"]
    bonuses = client_bonuses([round(r * WAD) for r in given["r"].values()], given["kappa"])
    state = ServerState({"w": np.array(given["theta0"])})
    updates = [
        Update(client, MemorySource({"w": np.array(delta)}), 1, bonus)
        for (client, delta), bonus in zip(given["deltas"].items(), bonuses, strict=True)
    ]
    strategy = get_strategy("fedheal", {"tau": given["tau"], "beta": given["beta"], "store": "running_sum"})
    merged = strategy.aggregate(state, updates, MergeRules(VECTOR))
    np.testing.assert_allclose(merged.weights["w"], wanted["theta"], rtol=0, atol=tol)
    stored = {client: float(merged.parts[part_of(client)]["@p"]) for client in given["deltas"]}
    assert stored == pytest.approx(wanted["stored_p"], abs=tol)

    lengths = [float(np.linalg.norm(delta)) for delta in given["deltas"].values()]
    shares, _ = FedHeal(tau=given["tau"], beta=given["beta"]).weigh([Share(0.5), Share(0.5)], lengths)
    assert shares == pytest.approx(list(wanted["p_before"].values()), abs=tol)
    assert rewarded(shares, bonuses) == pytest.approx(list(wanted["p_after"].values()), abs=tol)


def test_rewards_multiply_the_weights_of_gradients() -> None:
    case = cases("extra")["compose_reward_fedsgd"]
    given = case["inputs"]
    rewards = [round(r * WAD) for r in given["r"]]
    weights = client_weights(given["n"], rewards, given["kappa"])
    updates = [
        Update(f"c{k}", MemorySource({"w": np.array(gradient), "@batch": np.array(1)}), weight)
        for k, (gradient, weight) in enumerate(zip(given["grads"], weights, strict=True))
    ]
    strategy = get_strategy("fedsgd", {"server_lr": given["server_lr"]})
    merged = strategy.aggregate(ServerState({"w": np.array(given["theta"])}), updates, MergeRules(VECTOR))
    np.testing.assert_allclose(merged.weights["w"], case["expected"], rtol=0, atol=case["tol"])

"""The cases of chain.json and extra.json that are about learning: scores, weights, filter, zero init."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from learn_tools import VECTOR, cases
from torch import nn

from foedus.core.errors import InvalidData, UnsupportedModel
from foedus.core.records import WAD
from foedus.learn.aggregation import client_weights
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.metrics import confusion, f1_per_label, macro_f1
from foedus.learn.models import initial_weights
from foedus.learn.partitions import partition
from foedus.learn.strategy import MergeRules, ServerState
from foedus.learn.updates import Claim, filter_updates


def labels(values: Sequence[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_macro_f1_covers_all_labels() -> None:
    case = cases("chain")["f1_macro_fixed_label_set"]
    y, yhat = labels(case["inputs"]["y"]), labels(case["inputs"]["yhat"])
    count = len(case["inputs"]["labels"])
    expected, tol = case["expected"], case["tol"]
    counts = confusion(y, yhat, count)
    np.testing.assert_allclose(f1_per_label(counts), expected["per_class"], atol=tol)
    assert macro_f1(y, yhat, count) == pytest.approx(expected["macro_all_5_zero_division_0"], abs=tol)
    assert macro_f1(y, yhat, count) != pytest.approx(expected["macro_classes_present_in_y"])
    assert counts.trace() / counts.sum() == expected["micro_equals_accuracy"]


def test_f1_of_nothing_is_an_error() -> None:
    given = cases("chain")["f1_empty_eval_set"]["inputs"]
    with pytest.raises(InvalidData):
        macro_f1(labels(given["y"]), labels(given["yhat"]), 5)


WEIGHTS = ("weights_kappa0_is_fedavg", "weights_all_zero_rewards", "weights_claimed_samples_capped")


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str) -> None:
    case = cases("chain")[name]
    given = case["inputs"]
    rewards = [round(r * WAD) for r in given["r"]]
    weights = client_weights(given["n"], rewards, given["kappa"], given.get("cap_ratio", 3.0))
    np.testing.assert_allclose(np.array(weights) / sum(weights), case["expected"], atol=case["tol"])


def test_reward_at_most_doubles_influence() -> None:
    case = cases("chain")["weights_influence_bound"]
    given = case["inputs"]
    first, second = client_weights(given["n"], [round(r * WAD) for r in given["r"]], given["kappa"])
    assert 1 < first / second <= case["expected"]["ratio_at_most"]


def test_block_filtering() -> None:
    case = cases("chain")["block_filtering"]
    claims = [
        Claim(tx["client"], tx["base"], tx["cid"], 10, gate_passed=tx["ok"]) for tx in case["inputs"]["txs"]
    ]
    accepted, refused = filter_updates(claims, case["inputs"]["current_base"])
    assert [claim.cid for claim in accepted] == case["expected"]["aggregated"]
    expected = {key: reason.split()[0] for key, reason in case["expected"]["reasons"].items()}
    found = {f"{r.client}:{r.cid}" if r.code == "superseded" else r.client: r.code for r in refused}
    assert found == expected


def test_empty_block_leaves_the_state() -> None:
    assert filter_updates(cases("chain")["block_empty"]["inputs"]["txs"], "G7") == ([], [])
    state = ServerState({"w": np.ones(2)}, {"server": {"m": np.zeros(2)}}, {"rounds": 4})
    for name in [info.name for info in describe()]:
        rules = MergeRules(VECTOR, model=nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
        assert get_strategy(name).aggregate(state, [], rules) is state


def test_zero_init_never_trains_hidden_layers() -> None:
    case = cases("extra")["init_all_zero_hidden_layers_never_learn"]
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor(case["inputs"]["label_counts"]))
    inputs = torch.randn(len(targets), 4, generator=torch.Generator().manual_seed(1)).double()
    for _ in range(100):
        model.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad)
    assert not model[0].weight.any()
    assert not model[2].weight.any()
    np.testing.assert_allclose(
        torch.softmax(model[2].bias, 0).detach(), case["expected"]["softmax_of_output_bias"], atol=case["tol"]
    )


@pytest.mark.parametrize("name", ["2nn", "cnn"])
def test_zero_init_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UnsupportedModel, match="hidden layers would never get a gradient"):
        initial_weights(name, {}, 1, "zeros")


def test_zero_init_is_fine_for_linear_models() -> None:
    assert "init_zero_is_fine_for_linear" in cases("extra")
    weights = initial_weights("softmax", {}, 1, "zeros")
    assert not any(tensor.any() for tensor in weights.values())


def test_printed_noniid3_lacks_the_digit_five() -> None:
    case = cases("extra")["paper_noniid3_upper_bound"]
    given = case["inputs"]
    assert (given["test_size"] - given["test_fives"]) / given["test_size"] == case["expected"]["upper_bound"]
    digits = labels(np.arange(1000) % 10)
    printed = partition("noniid-3-printed", digits, "abc", 1)
    assert 5 not in digits[np.concatenate(list(printed.values()))]
    corrected = partition("noniid-3", digits, "abc", 1)
    assert set(digits[corrected["c"]]) == {2, 3, 5, 9, 4}

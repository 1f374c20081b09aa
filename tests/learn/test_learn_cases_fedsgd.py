"""cases/fedsgd.json, through real gradients of small models."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from learn_tools import VECTOR, batch_norm_model, blobs, cases
from torch import nn

from foedus.core.errors import InvalidData, TaskFailed, UpdateRefused
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import Examples
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Weights


class Softmax(nn.Module):
    """Logits W x + b in float64."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.tensor(weights["W"], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(weights["b"], dtype=torch.float64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ self.W.T + self.b


def softmax_case() -> tuple[Mapping[str, Any], Weights, list[Examples]]:
    given = cases("fedsgd")["sgd_full_equals_centralised"]["inputs"]
    clients = [
        Examples(torch.tensor(client["X"], dtype=torch.float64), torch.tensor(client["y"]))
        for client in given["clients"]
    ]
    return given, {"W": np.array(given["W0"]), "b": np.array(given["b0"])}, clients


def rounds(
    strategy: Strategy, weights: Weights, clients: Sequence[Examples], settings: TrainSettings
) -> list:
    """Three rounds of everybody."""
    state, results = ServerState(weights), []
    for _ in range(3):
        updates = []
        for k, data in enumerate(clients):
            result = strategy.train(Softmax(weights), state, data, settings, Turn(f"c{k}", 0))
            updates.append(Update(f"c{k}", MemorySource(result.handed_over), len(data)))
        state = strategy.aggregate(state, updates, MergeRules(parts_of(Softmax(weights))))
        results.append(state.weights)
    return results


def assert_trace(results: Sequence[Weights], expected: Sequence[Mapping[str, Any]], tol: float) -> None:
    for weights, wanted in zip(results, expected, strict=True):
        for name in ("W", "b"):
            np.testing.assert_allclose(weights[name], wanted[name], rtol=0, atol=tol)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_all_examples_are_gradient_descent_on_the_union(chunk: int) -> None:
    case = cases("fedsgd")["sgd_full_equals_centralised"]
    given, weights, clients = softmax_case()
    strategy = get_strategy("fedsgd", {"server_lr": given["server_lr"]})
    results = rounds(strategy, weights, clients, TrainSettings(batch_size=chunk))
    assert len(results) == given["rounds"]
    assert_trace(results, case["expected"], case["tol"])
    trap = case["traps"]["first_round_unweighted"]
    uniform = get_strategy("fedsgd", {"server_lr": given["server_lr"], "weight_by": "uniform"})
    unweighted = rounds(uniform, weights, clients, TrainSettings())[0]
    np.testing.assert_allclose(unweighted["W"], trap["W"], atol=case["tol"])
    assert not np.allclose(results[0]["W"], trap["W"])


def test_fedavg_with_one_full_step_gives_the_same() -> None:
    case = cases("fedsgd")["sgd_equals_fedavg_E1_Binf"]
    given, weights, clients = softmax_case()
    settings = TrainSettings(epochs=1, batch_size=100, learning_rate=given["server_lr"])
    assert_trace(rounds(get_strategy("fedavg"), weights, clients, settings), case["expected"], case["tol"])


@pytest.mark.parametrize(
    ("weight_by", "wanted"), [("examples", "weight_by_n"), ("batch", "weight_by_b"), ("uniform", "uniform")]
)
def test_what_weights_follow(weight_by: str, wanted: str) -> None:
    case = cases("fedsgd")["sgd_minibatch_weighting"]
    given = case["inputs"]
    updates = [
        Update(f"c{k}", MemorySource({"w": np.array(gradient), "@batch": np.array(b)}), n)
        for k, (gradient, n, b) in enumerate(zip(given["grads"], given["n"], given["b"], strict=True))
    ]
    strategy = get_strategy("fedsgd", {"server_lr": given["server_lr"], "weight_by": weight_by, "batch": 10})
    merged = strategy.aggregate(ServerState({"w": np.array(given["theta"])}), updates, MergeRules(VECTOR))
    np.testing.assert_allclose(merged.weights["w"], case["expected"][wanted], rtol=0, atol=case["tol"])


def gradient_of(model: nn.Module, data: Examples, settings: TrainSettings, **params: float) -> LocalResult:
    strategy = get_strategy("fedsgd", params)
    return strategy.train(model, ServerState(weights_of(model)), data, settings, Turn("a", 3))


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def test_batch_larger_than_the_data() -> None:
    case = cases("fedsgd")["sgd_batch_larger_than_data"]
    data = blobs(case["inputs"]["n"])
    result = gradient_of(linear(), data, TrainSettings(), batch=case["inputs"]["batch"])
    assert result.handed_over["@batch"] == case["expected"]["batch_used"]
    whole = gradient_of(linear(), data, TrainSettings())
    np.testing.assert_allclose(result.handed_over["weight"], whole.handed_over["weight"], rtol=1e-6)


def test_learning_rate_and_epochs_have_no_effect() -> None:
    case = cases("fedsgd")["sgd_one_gradient_per_round"]
    results = [
        gradient_of(linear(), blobs(9), TrainSettings(learning_rate=lr, epochs=epochs))
        for lr, epochs in zip(case["inputs"]["client_lr"], (1, 7), strict=True)
    ]
    for name, tensor in results[0].handed_over.items():
        assert tensor.tobytes() == results[1].handed_over[name].tobytes()


def test_exactly_one_forward_and_backward() -> None:
    model, calls = linear(), []
    model.register_forward_hook(lambda *_: calls.append("forward"))
    model.register_full_backward_hook(lambda *_: calls.append("backward"))
    steps: list[tuple[int, int]] = []
    data = blobs(9)
    data.inputs.requires_grad_()  # else a full backward hook warns
    strategy = get_strategy("fedsgd")
    turn = Turn("a", 3, on_step=lambda done, total, loss: steps.append((done, total)))
    strategy.train(model, ServerState(weights_of(model)), data, TrainSettings(epochs=5), turn)
    assert calls == ["forward", "backward"]
    assert steps == [(1, 1)]


def test_one_batch_is_the_first_batch_of_local_sgd() -> None:
    gradient = gradient_of(linear(), blobs(40), TrainSettings(), batch=8, server_lr=0.5)
    model = linear()
    state = ServerState(weights_of(model))
    settings = TrainSettings(batch_size=8, learning_rate=0.5)
    firsts: list[Weights] = []
    turn = Turn("a", 3, on_step=lambda done, total, loss: firsts.append(weights_of(model)))
    get_strategy("fedavg").train(model, state, blobs(40), settings, turn)
    for name, tensor in firsts[0].items():
        np.testing.assert_allclose(gradient.weights[name], tensor, rtol=1e-5, atol=1e-7)


def test_local_model_is_what_members_score() -> None:
    model = linear()
    state = ServerState(weights_of(model))
    strategy = get_strategy("fedsgd")
    result = strategy.train(model, state, blobs(20), TrainSettings(), Turn("a", 3))
    shown = strategy.scorable(state, MemorySource(result.handed_over), parts_of(model))
    assert shown is not None
    for name, tensor in weights_of(model).items():
        assert tensor.tobytes() == result.weights[name].tobytes() == shown[name].tobytes()
        assert tensor.tobytes() != state.weights[name].tobytes()
    alone = [Update("a", MemorySource(result.handed_over), 20)]
    merged = strategy.aggregate(state, alone, MergeRules(parts_of(model))).weights
    assert all(merged[name].tobytes() == result.weights[name].tobytes() for name in merged)


def test_update_is_what_its_specs_say() -> None:
    model = batch_norm_model()
    strategy, state = get_strategy("fedsgd"), ServerState(weights_of(model))
    update = strategy.train(model, state, blobs(12), TrainSettings(batch_size=5), Turn("a", 1)).handed_over
    specs = strategy.update_specs(state, "a", MergeRules(parts_of(model)))
    assert specs == {name: MemorySource(update).spec(name) for name in update}
    assert update["1.num_batches_tracked"] == 1  # batch normalisation saw all examples at once


def test_momentum_by_hand() -> None:
    strategy = get_strategy("fedsgd", {"server_lr": 0.5, "server_momentum": 0.5})
    state = ServerState({"w": np.zeros(1)})
    update = Update("a", MemorySource({"w": np.array([-1.0]), "@batch": np.array(1)}), 1)
    for position in (0.5, 1.25, 2.125):
        state = strategy.aggregate(state, [update], MergeRules(VECTOR))
        assert state.weights["w"] == [position]


def test_hostile_batches_are_bounded() -> None:
    def update(client: str, gradient: float, batch: int) -> Update:
        return Update(client, MemorySource({"w": np.array([gradient]), "@batch": np.array(batch)}), 1)

    honest = [update("a", 1.0, 10), update("b", 1.0, 10)]
    state = ServerState({"w": np.zeros(1)})
    strategy = get_strategy("fedsgd", {"server_lr": 1.0, "weight_by": "batch"})
    greedy = strategy.aggregate(state, [*honest, update("c", -1.0, 1 << 48)], MergeRules(VECTOR))
    assert greedy.weights["w"] == pytest.approx([(30 - 20) / 50])  # three times the median
    strict = MergeRules(VECTOR, cap_ratio=1.0)  # as the project says
    equal = strategy.aggregate(state, [*honest, update("c", -1.0, 1 << 48)], strict)
    assert equal.weights["w"] == pytest.approx([-1 / 3])
    idle = update("c", -1.0, 0)
    with pytest.raises(UpdateRefused) as caught:
        check_update(idle.source, strategy.update_specs(state, "c", strict), state.weights, VECTOR)
    assert caught.value.code == "extra"
    assert strategy.aggregate(state, [idle], strict).weights["w"] == [1.0]  # and nothing is divided by 0


def test_weight_decay_is_part_of_the_gradient() -> None:
    settings = TrainSettings(batch_size=100, learning_rate=0.1, weight_decay=0.3)
    model = linear()
    averaged = get_strategy("fedavg").train(
        model, ServerState(weights_of(model)), blobs(9), settings, Turn("a", 3)
    )
    gradient = gradient_of(linear(), blobs(9), settings, server_lr=0.1)
    np.testing.assert_allclose(gradient.weights["weight"], averaged.weights["weight"], rtol=1e-5)


def test_what_cannot_be_trained_on() -> None:
    with pytest.raises(InvalidData):
        gradient_of(linear(), blobs(0), TrainSettings())
    with pytest.raises(InvalidData, match="one example"):
        gradient_of(batch_norm_model(), blobs(1), TrainSettings())
    data = blobs(3)
    data.inputs[0, 0] = float("nan")
    with pytest.raises(TaskFailed):
        gradient_of(linear(), data, TrainSettings())


def test_all_cases_are_covered() -> None:
    named = {
        "sgd_full_equals_centralised",
        "sgd_equals_fedavg_E1_Binf",
        "sgd_minibatch_weighting",
        "sgd_batch_larger_than_data",
        "sgd_one_gradient_per_round",
    }
    assert named == set(cases("fedsgd"))

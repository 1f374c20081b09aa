"""Local training against plain PyTorch, and the laws that tie the algorithms together."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import Point, batch_norm_model, blobs, quadratic, quadratic_data
from torch import nn

from foedus.core.errors import InvalidData, InvalidSpec, TaskFailed, UnsupportedModel
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.examples import Examples
from foedus.learn.models import build_model
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.state import load_weights, parts_of, trainable_parameters, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import LocalResult, TrainSettings, local_sgd
from foedus.learn.weights import MemorySource, Weights


def small_model(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(first[k].tobytes() == second[k].tobytes() for k in first)


def run(name: str, settings_: TrainSettings, data: Examples, seed: int = 3, **params: object) -> LocalResult:
    model = small_model()
    return get_strategy(name, params).train(
        model, ServerState(weights_of(model)), data, settings_, Turn("a", seed)
    )


def plain_sgd(model: nn.Module, data: Examples, s: TrainSettings, seed: int) -> Weights:
    """The loop that everybody writes."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(s.epochs):
        for batch in torch.randperm(len(data), generator=generator).split(s.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.inputs[batch]), data.targets[batch]).backward()
            optimizer.step()
    return weights_of(model)


SETTINGS = st.builds(
    TrainSettings,
    epochs=st.integers(1, 3),
    batch_size=st.integers(1, 40),
    learning_rate=st.sampled_from([0.01, 0.3]),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.01]),
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(SETTINGS, st.integers(1, 33), st.integers(0, 2**63 - 1))
def test_one_client_is_plain_sgd(s: TrainSettings, count: int, seed: int) -> None:
    data = blobs(count)
    result = run("fedavg", s, data, seed)
    assert same(result.weights, plain_sgd(small_model(), data, s, seed))
    strategy, start = get_strategy("fedavg"), weights_of(small_model())
    update = Update("a", MemorySource(result.weights), result.num_examples)
    state = strategy.aggregate(strategy.init(start), [update], MergeRules(parts_of(small_model())))
    assert same(state.weights, result.weights)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(SETTINGS, st.sampled_from(["half", "paper"]))
def test_fedprox_without_mu_is_fedavg_bit_for_bit(s: TrainSettings, convention: str) -> None:
    data = blobs(20)
    prox = run("fedprox", s, data, mu=0, prox_convention=convention)
    assert same(prox.weights, run("fedavg", s, data).weights)
    assert prox.penalty == 0


def test_fedprox_stays_nearer_to_its_base_and_reports_data_loss_only() -> None:
    data, s = blobs(60), TrainSettings(epochs=4, batch_size=10, learning_rate=0.3)
    start = weights_of(small_model())
    free, held = run("fedprox", s, data, mu=0), run("fedprox", s, data, mu=3.0)
    far, near = (sum(np.sum((r.weights[k] - start[k]) ** 2.0) for k in start) for r in (free, held))
    assert near < far
    assert held.penalty == pytest.approx(1.5 * near, rel=1e-5)
    assert held.data_losses[0] == pytest.approx(free.data_losses[0], rel=0.3)


def test_proximal_gradient_is_that_of_its_value() -> None:
    model = small_model().double()
    penalty = ProximalPenalty(trainable_parameters(model), 0.7)
    base = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    expected = torch.autograd.grad(
        0.35 * sum(((p - b) ** 2).sum() for p, b in zip(model.parameters(), base, strict=True)),
        list(model.parameters()),
    )
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    penalty.add_gradient()
    for p, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_weight_decay_and_momentum_come_after_the_pull() -> None:
    """g = ∇F + μ(w − θ) + wd·w, then momentum: two steps by hand."""
    lr, mu, wd, momentum, a, c, base = 0.1, 0.5, 0.01, 0.9, 2.0, 3.0, 1.0
    model = Point(base)
    s = TrainSettings(2, 1, lr, momentum, wd)
    penalty = ProximalPenalty([model.w], mu)
    result = local_sgd(model, quadratic_data(a, c), s, 0, penalty=penalty, loss=quadratic)
    w = base
    velocity = 0.0
    for _ in range(2):
        velocity = momentum * velocity + a * (w - c) + mu * (w - base) + wd * w
        w -= lr * velocity
    assert result.weights["w"][0] == pytest.approx(w, rel=1e-14)


def test_unused_and_frozen_parameters_stay() -> None:
    model = small_model()
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    model[0].bias.requires_grad_(False)
    before = weights_of(model)
    result = get_strategy("fedprox", {"mu": 1.0}).train(
        model, ServerState(before), blobs(9), TrainSettings(2), Turn("a", 1)
    )
    assert result.weights["unused"].tobytes() == before["unused"].tobytes()
    assert result.weights["0.bias"].tobytes() == before["0.bias"].tobytes()
    assert result.weights["0.weight"].tobytes() != before["0.weight"].tobytes()


def test_same_seed_same_bytes_and_other_seed_other_bytes() -> None:
    s, data = TrainSettings(2, 7), blobs(30)
    assert same(run("fedavg", s, data, 1).weights, run("fedavg", s, data, 1).weights)
    assert not same(run("fedavg", s, data, 1).weights, run("fedavg", s, data, 2).weights)


def test_dropout_is_seeded_and_global_randomness_untouched() -> None:
    results = []
    for noise in (1, 2):
        model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 3))
        load_weights(model, weights_of(nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 3))))
        torch.manual_seed(0)
        for p in model.parameters():
            nn.init.normal_(p)
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        results.append(local_sgd(model, blobs(20), TrainSettings(2, 5), 9).weights)
        assert torch.equal(before, torch.get_rng_state())
    assert same(*results)


def test_last_partial_batch_is_kept_and_steps_are_reported() -> None:
    calls: list[tuple[int, int, float]] = []
    model = small_model()
    s = TrainSettings(epochs=2, batch_size=4)
    result = local_sgd(
        model, blobs(9), s, 1, on_step=lambda done, total, loss: calls.append((done, total, float(loss)))
    )
    assert result.steps == 6
    assert [(done, total) for done, total, _ in calls] == [(k, 6) for k in range(1, 7)]
    sizes = [4, 4, 1]
    first_epoch = sum(size * loss for size, (_, _, loss) in zip(sizes, calls, strict=False)) / 9
    assert result.data_losses[0] == pytest.approx(first_epoch)


def test_batches_of_one_are_skipped_with_batch_norm_only() -> None:
    s = TrainSettings(epochs=1, batch_size=4)
    assert local_sgd(batch_norm_model(), blobs(9), s, 1).steps == 2
    lonely = local_sgd(batch_norm_model(), blobs(1), s, 1)
    assert (lonely.steps, lonely.data_losses) == (0, (0.0,))
    assert local_sgd(small_model(), blobs(1), s, 1).steps == 1


def test_zero_epochs_return_the_base() -> None:
    start = weights_of(small_model())
    result = run("fedprox", TrainSettings(epochs=0), blobs(5), mu=0.5)
    assert same(result.weights, start)
    assert result.steps == 0


def test_diverging_training_says_what_to_do() -> None:
    with pytest.raises(TaskFailed, match="Lower the learning rate"):
        local_sgd(Point(1.0), quadratic_data(4.0, 2.0), TrainSettings(9, 1, 1e200), 0, loss=quadratic)


def test_weights_that_overflow_in_the_last_step_are_noticed() -> None:
    model = Point(1.0)
    s = TrainSettings(1, 1, 1e308)
    with pytest.raises(TaskFailed, match="weights 'w'"):
        local_sgd(model, quadratic_data(50.0, 9.0), s, 0, loss=quadratic)


def test_nothing_to_train_on() -> None:
    with pytest.raises(InvalidData):
        local_sgd(small_model(), blobs(0), TrainSettings(), 1)


@pytest.mark.slow
def test_channels_last_trains_the_same_function() -> None:
    inputs = torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(12) % 10
    results = []
    for channels_last in (False, True):
        data = Examples(inputs, targets, channels_last)
        results.append(local_sgd(build_model("cnn", {}, 4), data, TrainSettings(2, 5, 0.05), 1).weights)
    for name, tensor in results[0].items():
        np.testing.assert_allclose(tensor, results[1][name], atol=1e-5)
        assert results[1][name].flags.c_contiguous


# --- state ---


def test_parts_of_a_model_with_everything() -> None:
    model = batch_norm_model()
    model[0].weight.requires_grad_(False)
    model.register_buffer("mask", torch.tensor([True]))
    model.register_buffer("scratch", torch.zeros(1), persistent=False)
    parts = parts_of(model)
    assert parts.frozen == ("0.weight",)
    assert parts.trainable == ("0.bias", "1.bias", "1.weight", "3.bias", "3.weight")
    assert parts.float_buffers == ("1.running_mean", "1.running_var")
    assert parts.other_buffers == ("1.num_batches_tracked", "mask")


def test_models_that_cannot_be_federated_are_refused() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> dict:
            return {}

        def set_extra_state(self, state: dict) -> None:
            pass

    with pytest.raises(UnsupportedModel, match="extra"):
        parts_of(Extra(1, 1))
    complex_model = nn.Module()
    complex_model.p = nn.Parameter(torch.zeros(1, dtype=torch.complex64))
    with pytest.raises(UnsupportedModel, match="complex"):
        parts_of(complex_model)


def test_load_and_read_back() -> None:
    source = batch_norm_model()
    target = copy.deepcopy(source)
    with torch.no_grad():
        for p in source.parameters():
            p.add_(1)
    weights = weights_of(source)
    load_weights(target, weights)
    assert same(weights_of(target), weights)
    with torch.no_grad():
        target[0].weight.zero_()
    assert weights["0.weight"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"w": None}, "lack"), ({"extra": np.zeros(1)}, "model has no"), ({"w": np.zeros(2)}, "shape")],
)
def test_weights_of_another_model_are_refused(change: dict, message: str) -> None:
    weights = {k: v for k, v in {**weights_of(Point(1.0)), **change}.items() if v is not None}
    with pytest.raises(UnsupportedModel, match=message):
        load_weights(Point(1.0), weights)


# --- algorithms by name ---


def test_strategies_are_found_by_name() -> None:
    names = [info.name for info in describe()]
    assert names == sorted(names)
    assert {"fedavg", "fedprox"} <= set(names)
    strategy = get_strategy("fedprox", {"mu": 1, "prox_convention": "paper"})
    assert strategy.effective_mu == 2.0
    assert strategy.steps(small_model()) == 1
    assert get_strategy("fedavg").steps(small_model()) == 1
    assert math.isclose(get_strategy("fedprox").mu, 0.1)
    start = weights_of(small_model())
    assert strategy.init(start).weights is start


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("fedproxy", {}, "Did you mean 'fedprox'"),
        ("fedprox", {"nu": 1.0}, "Did you mean 'mu'"),
        ("fedprox", {"mu": -0.1}, "between 0 and 1000"),
        ("fedprox", {"mu": float("nan")}, "between 0 and 1000"),
        ("fedprox", {"mu": "0.1"}, "type float"),
        ("fedprox", {"mu": True}, "type float"),
        ("fedprox", {"prox_convention": "papers"}, "Did you mean 'paper'"),
        ("fedavg", {"mu": 0.1}, "takes no arguments"),
    ],
)
def test_unusable_algorithms(name: str, params: dict, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        get_strategy(name, params)

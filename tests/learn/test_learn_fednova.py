"""FedNova: what a client's steps amount to, and that their number no longer decides where rounds lead."""

import numpy as np
import pytest
import torch
from learn_tools import VECTOR, Point, batch_norm_model, blobs, quadratic, quadratic_data
from torch import nn

from foedus.core.errors import InvalidSpec, TaskFailed, UpdateRefused
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.fednova import FedNova, reach
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource

RULES = MergeRules(VECTOR, learning_rate=0.1)


def moved(client: str, w: float, steps: int, weight: int = 1) -> Update:
    return Update(client, MemorySource({"w": np.array([w]), "@steps": np.array(steps)}), weight)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_reach_has_the_closed_forms_of_the_paper(steps: int) -> None:
    rho, pull = 0.9, 0.05
    assert reach(steps, 0.0, 0.0) == steps
    momentum = (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    assert reach(steps, rho, 0.0) == pytest.approx(momentum, rel=1e-12)
    assert reach(steps, 0.0, pull) == pytest.approx((1 - (1 - pull) ** steps) / pull, rel=1e-12)


@pytest.mark.parametrize(("momentum", "mu"), [(0.0, 0.0), (0.9, 0.0), (0.0, 2.0), (0.5, 1.0)])
def test_reach_is_how_far_real_training_goes_on_a_constant_gradient(momentum: float, mu: float) -> None:
    model, steps, rate = Point(0.0), 6, 0.1
    settings = TrainSettings(epochs=steps, batch_size=1, learning_rate=rate, momentum=momentum)
    penalty = ProximalPenalty([model.w], mu)

    def slope(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.mean()

    result = local_sgd(model, quadratic_data(0.0, 0.0), settings, 0, penalty=penalty, loss=slope)
    assert -float(result.weights["w"][0]) / rate == pytest.approx(
        reach(steps, momentum, mu * rate), rel=1e-12
    )


@pytest.mark.parametrize(("momentum", "pull"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.0), (float("nan"), 0.0)])
def test_training_that_never_settles_is_refused(momentum: float, pull: float) -> None:
    with pytest.raises(InvalidSpec):
        reach(3, momentum, pull)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("pull", [0.0, 0.5, 0.99])
def test_reach_is_at_least_that_of_one_step(momentum: float, pull: float) -> None:
    values = [reach(steps, momentum, pull) for steps in [*range(1, 200), 1 << 48]]
    assert all(1 <= value < np.inf for value in values)


def test_two_clients_by_hand() -> None:
    state = ServerState({"w": np.zeros(1)})
    # d = (1, 2), their mean 1.5; τ_eff = 2. FedAvg would go to 3.5.
    merged = FedNova().aggregate(state, [moved("a", 1.0, 1), moved("b", 6.0, 3)], RULES)
    assert merged.weights["w"] == [3.0]
    # p = (1/4, 3/4): mean of d 1.75, τ_eff = 2.5.
    weighted = FedNova().aggregate(state, [moved("a", 1.0, 1, 5), moved("b", 6.0, 3, 15)], RULES)
    assert weighted.weights["w"] == [4.375]


def test_momentum_of_training_is_taken_into_account() -> None:
    state, rules = ServerState({"w": np.zeros(1)}), MergeRules(VECTOR, momentum=0.5)
    merged = FedNova().aggregate(state, [moved("a", 1.0, 1), moved("b", 5.0, 2)], rules)
    assert merged.weights["w"] == pytest.approx([(1 + 2) / 2 * (1 + 2.5) / 2])  # a = (1, 2.5)


def test_equal_steps_are_fedavg_to_the_byte() -> None:
    random = np.random.default_rng(0)
    state = ServerState({"w": random.normal(size=50).astype(np.float32)})
    models = [random.normal(size=50).astype(np.float32) for _ in range(3)]
    updates = [
        Update(f"c{k}", MemorySource({"w": model, "@steps": np.array(7)}), k + 1)
        for k, model in enumerate(models)
    ]
    plain = [Update(f"c{k}", MemorySource({"w": model}), k + 1) for k, model in enumerate(models)]
    merged = FedNova(mu=0.3).aggregate(state, updates, MergeRules(VECTOR, momentum=0.9))
    average = get_strategy("fedavg").aggregate(state, plain, MergeRules(VECTOR))
    assert merged.weights["w"].tobytes() == average.weights["w"].tobytes()


def fixed_point(name: str, rate: float) -> float:
    """Where many rounds of two clients, one of which makes 20 steps and the other 2, lead."""
    settings = {steps: TrainSettings(epochs=steps, batch_size=1, learning_rate=rate) for steps in (2, 20)}
    state = ServerState({"w": np.zeros(1)})
    for _ in range(150):
        updates = []
        for client, centre, steps in (("a", 0.0, 2), ("b", 1.0, 20)):
            model = Point(float(state.weights["w"][0]))
            result = local_sgd(model, quadratic_data(1.0, centre), settings[steps], 0, loss=quadratic)
            w = float(result.weights["w"][0])
            updates.append(
                moved(client, w, steps)
                if name == "fednova"
                else Update(client, MemorySource({"w": np.array([w])}), 1)
            )
        state = get_strategy(name).aggregate(state, updates, RULES)
    return float(state.weights["w"][0])


@pytest.mark.slow
def test_the_number_of_steps_no_longer_decides_where_rounds_lead() -> None:
    assert fixed_point("fedavg", 0.01) > 0.85  # the objective's minimum is at 0.5
    assert abs(fixed_point("fednova", 0.01) - 0.5) < 0.03


def test_updates_without_steps_are_refused_and_never_divide_by_zero() -> None:
    state = ServerState({"w": np.zeros(1)})
    idle = moved("b", 3.0, 0)
    with pytest.raises(UpdateRefused) as caught:
        check_update(idle.source, FedNova().update_specs(state, "b", RULES), state.weights, VECTOR)
    assert caught.value.code == "extra"
    merged = FedNova().aggregate(state, [moved("a", 1.0, 2), idle], RULES)
    assert merged.weights["w"] == [(0.5 + 3.0) / 2 * 1.5]  # as if it had made one step


@pytest.mark.parametrize("name", ["fednova", "scaffold"])
@pytest.mark.parametrize(("examples", "epochs"), [(1, 2), (9, 0)])
def test_training_without_a_step_hands_over_nothing(name: str, examples: int, epochs: int) -> None:
    model = batch_norm_model()
    state, training = ServerState(weights_of(model)), TrainSettings(epochs=epochs)
    with pytest.raises(TaskFailed, match="no step") as caught:
        get_strategy(name).train(model, state, blobs(examples), training, Turn("a", 1))
    assert "two examples" in caught.value.hint


def test_whoever_trains_by_sgd_can_make_the_update() -> None:
    weights = {"w": np.zeros((2, 3))}
    assert get_strategy("fedprox").hand_over(weights, 4) is weights
    one, many = FedNova().hand_over(weights, 4), FedNova().hand_over(weights, np.array([4, 5]))
    assert MemorySource(one).spec("@steps") == ("I64", ())
    assert many["@steps"].tolist() == [4, 5]
    assert many["w"] is weights["w"]


def test_invented_steps_are_bounded() -> None:
    state = ServerState({"w": np.zeros(1)})
    honest = [moved("a", 1.0, 4), moved("b", 1.0, 4)]
    merged = FedNova().aggregate(state, [*honest, moved("c", 1.0, 1 << 48)], RULES)
    # Its own move vanishes, and τ_eff grows from 4 to (4 + 4 + 10 · 4) / 3 = 16 at most.
    assert merged.weights["w"] == pytest.approx([2 / 3 / 4 * 16])
    strict = FedNova(cap_ratio=1.0).aggregate(state, [*honest, moved("c", 1.0, 1 << 48)], RULES)
    assert strict.weights["w"] == pytest.approx([2 / 3])


def test_buffers_are_averaged_as_they_are() -> None:
    rules = MergeRules(parts_of(nn.BatchNorm1d(1)), learning_rate=0.1)
    server = weights_of(nn.BatchNorm1d(1))
    updates = [
        Update(
            f"c{k}",
            MemorySource({**server, "running_mean": np.array([mean], np.float32), "@steps": np.array(steps)}),
            1,
        )
        for k, (mean, steps) in enumerate([(1.0, 1), (3.0, 50)])
    ]
    assert FedNova().aggregate(ServerState(server), updates, rules).weights["running_mean"] == [2.0]


def test_train_hands_over_its_steps() -> None:
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    state = ServerState(weights_of(model))
    settings = TrainSettings(epochs=2, batch_size=5)
    result = FedNova(mu=0.1).train(model, state, blobs(9), settings, Turn("a", 3))
    assert result.handed_over["@steps"] == result.steps == 4
    assert result.penalty > 0
    specs = FedNova().update_specs(state, "a", MergeRules(parts_of(model)))
    assert specs == {name: MemorySource(result.handed_over).spec(name) for name in result.handed_over}
    with pytest.raises(InvalidSpec):
        FedNova(mu=500.0).train(model, state, blobs(9), settings, Turn("a", 3))

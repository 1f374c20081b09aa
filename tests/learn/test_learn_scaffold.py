"""SCAFFOLD on one-number models whose training can be followed by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from learn_tools import VECTOR, Point, blobs, quadratic, quadratic_data
from torch import nn

from foedus.core.errors import InvalidSpec
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.scaffold import ControlVariate, Scaffold
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Turn, Update, part_of
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.weights import MemorySource

RATE = 0.1
RULES = MergeRules(VECTOR, learning_rate=RATE)
UNIFORM = Scaffold(weight_by="uniform")


@dataclass(frozen=True)
class Hill:
    """A client's objective a/2 (w − c)², and how it trains."""

    client: str
    a: float
    c: float
    steps: int = 4
    examples: int = 1


HILLS = (Hill("a", 1.0, -2.0), Hill("b", 3.0, 1.0, steps=7, examples=3), Hill("c", 0.5, 4.0, steps=2))


def update_of(state: ServerState, hill: Hill) -> Update:
    """Train the real loop with the correction that `Scaffold.train` takes from the state."""
    model = Point(float(state.weights["w"][0]))
    common, own = state.parts.get(SERVER), state.parts.get(part_of(hill.client), {"w": np.zeros(1)})
    penalty = ControlVariate(model, {"w": common["w"] - own["w"]}) if common else None
    settings = TrainSettings(epochs=hill.steps, batch_size=1, learning_rate=RATE)
    result = local_sgd(model, quadratic_data(hill.a, hill.c), settings, 0, penalty=penalty, loss=quadratic)
    return moved(hill.client, float(result.weights["w"][0]), result.steps, hill.examples)


def moved(client: str, w: float, steps: int, weight: int = 1) -> Update:
    return Update(client, MemorySource({"w": np.array([w]), "@steps": np.array(steps)}), weight)


def play(strategy: Scaffold, state: ServerState, hills: Sequence[Hill], rounds: int = 1) -> ServerState:
    for _ in range(rounds):
        state = strategy.aggregate(state, [update_of(state, hill) for hill in hills], RULES)
    return state


def start(w: float = 10.0) -> ServerState:
    return ServerState({"w": np.array([w])})


def test_trace_is_that_of_the_published_algorithm() -> None:
    state = start()
    x, c, own = 10.0, 0.0, dict.fromkeys("abc", 0.0)
    for _ in range(5):
        state = play(UNIFORM, state, HILLS)
        moves, changes = [], []
        for hill in HILLS:
            y = x
            for _ in range(hill.steps):
                y -= RATE * (hill.a * (y - hill.c) - own[hill.client] + c)
            new = own[hill.client] - c + (x - y) / (hill.steps * RATE)
            moves.append(y - x)
            changes.append(new - own[hill.client])
            own[hill.client] = new
        x, c = x + sum(moves) / 3, c + sum(changes) / 3
        assert state.weights["w"] == pytest.approx([x], abs=1e-12)
        assert state.parts[SERVER]["w"] == pytest.approx([c], abs=1e-12)
        for client, value in own.items():
            assert state.parts[part_of(client)]["w"] == pytest.approx([value], abs=1e-12)


def test_control_variate_is_the_mean_gradient_of_the_local_steps() -> None:
    hill, w, gradients = HILLS[0], 10.0, []
    for _ in range(hill.steps):
        gradients.append(hill.a * (w - hill.c))
        w -= RATE * gradients[-1]
    state = play(UNIFORM, start(), [hill])
    assert state.parts[part_of("a")]["w"] == pytest.approx([np.mean(gradients)], abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("weight_by", ["uniform", "examples"])
def test_drift_is_gone_where_fedavg_keeps_it(weight_by: str) -> None:
    shares = np.array([1.0 if weight_by == "uniform" else hill.examples for hill in HILLS])
    curvatures, centres = np.array([h.a for h in HILLS]), np.array([h.c for h in HILLS])
    optimum = np.sum(shares * curvatures * centres) / np.sum(shares * curvatures)
    strategy = get_strategy("scaffold", {"weight_by": weight_by})
    assert isinstance(strategy, Scaffold)
    assert play(strategy, start(), HILLS, 300).weights["w"] == pytest.approx([optimum], abs=1e-9)
    kept = 1 - (1 - RATE * curvatures) ** np.array([hill.steps for hill in HILLS])
    fedavg = np.sum(shares * kept * centres) / np.sum(shares * kept)
    assert abs(fedavg - optimum) > 0.05


def test_common_is_the_mean_of_all_who_ever_took_part() -> None:
    state = start()
    for names in ("a", "ab", "c", "bc", "abc", "b"):
        state = play(UNIFORM, state, [hill for hill in HILLS if hill.client in names])
        own = [part["w"][0] for name, part in state.parts.items() if name != SERVER]
        assert state.parts[SERVER]["w"] == pytest.approx([np.mean(own)], abs=1e-12)


def test_given_number_of_clients_counts_those_who_never_came() -> None:
    state = play(Scaffold(clients=10, weight_by="uniform"), start(), HILLS[:2])
    own = [state.parts[part_of(client)]["w"][0] for client in "ab"]
    assert state.parts[SERVER]["w"] == pytest.approx([sum(own) / 10], abs=1e-12)


def test_the_absent_keep_their_very_part() -> None:
    before = play(UNIFORM, start(), HILLS)
    after = play(UNIFORM, before, HILLS[:1])
    assert after.parts[part_of("b")] is before.parts[part_of("b")]
    assert after.parts[part_of("a")] is not before.parts[part_of("a")]


def test_first_round_is_fedavg() -> None:
    state = start()
    updates = [update_of(state, hill) for hill in HILLS]
    models = [Update(u.client, MemorySource({"w": u.source.read("w")}), u.weight) for u in updates]
    average = get_strategy("fedavg").aggregate(state, models, RULES)
    assert (
        Scaffold().aggregate(state, updates, RULES).weights["w"].tobytes() == average.weights["w"].tobytes()
    )


def test_server_step() -> None:
    update = moved("a", 14.0, 2)
    assert Scaffold(server_lr=0.5).aggregate(start(), [update], RULES).weights["w"] == [12.0]


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def test_clients_correct_every_gradient() -> None:
    state = ServerState(weights_of(linear()))
    settings = TrainSettings(epochs=2, batch_size=5, learning_rate=RATE)
    plain = Scaffold().train(linear(), state, blobs(10), settings, Turn("a", 3))
    assert plain.handed_over["@steps"] == plain.steps == 4
    common = {name: np.full(values.shape, 2.0) for name, values in state.weights.items()}
    own = {name: np.full(values.shape, 2.0, np.float32) for name, values in state.weights.items()}
    canceled = ServerState(state.weights, {SERVER: common, part_of("a"): own})
    same = Scaffold().train(linear(), canceled, blobs(10), settings, Turn("a", 3))
    assert all(same.weights[name].tobytes() == plain.weights[name].tobytes() for name in plain.weights)
    one = TrainSettings(batch_size=10, learning_rate=RATE)
    pushed = Scaffold().train(linear(), canceled, blobs(10), one, Turn("b", 3)).weights
    still = Scaffold().train(linear(), state, blobs(10), one, Turn("b", 3)).weights
    for name in still:
        np.testing.assert_allclose(pushed[name], still[name] - RATE * 2.0, rtol=1e-5, atol=1e-6)


def test_update_is_what_its_specs_say() -> None:
    model = linear()
    state = ServerState(weights_of(model))
    update = Scaffold().train(model, state, blobs(9), TrainSettings(), Turn("a", 1)).handed_over
    specs = Scaffold().update_specs(state, "a", MergeRules(parts_of(model)))
    assert specs == {name: MemorySource(update).spec(name) for name in update}
    shown = Scaffold().scorable(state, MemorySource(update), parts_of(model))
    assert shown is not None
    assert shown.keys() == state.weights.keys()


def test_hostile_steps_are_bounded() -> None:
    honest = moved("a", 11.0, 4)
    state = Scaffold().aggregate(start(), [honest, moved("b", 1e300, 0)], RULES)
    assert state.weights["w"] == [11.0]
    assert part_of("b") not in state.parts
    assert Scaffold().aggregate(start(), [moved("b", 1e300, 0)], RULES).weights["w"] == [10.0]
    endless = Scaffold().aggregate(start(), [honest, moved("b", 10.0, 1 << 48)], RULES)
    assert endless.parts[part_of("b")]["w"] == [0.0]


def test_control_variates_stay_finite() -> None:
    update = Update("a", MemorySource({"w": np.array([3e38], np.float32), "@steps": np.array(1)}), 1)
    state = Scaffold().aggregate(ServerState({"w": np.zeros(1, np.float32)}), [update], RULES)
    assert state.parts[part_of("a")]["w"] == [-np.finfo(np.float32).max]
    assert np.isfinite(state.parts[SERVER]["w"]).all()


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"learning_rate": 0.0}])
def test_what_option_two_cannot_measure_is_refused(settings: dict[str, float]) -> None:
    model = linear()
    with pytest.raises(InvalidSpec):
        Scaffold().train(
            model, ServerState(weights_of(model)), blobs(3), TrainSettings(**settings), Turn("a", 1)
        )
    with pytest.raises(InvalidSpec):
        Scaffold().aggregate(start(), [moved("a", 1.0, 1)], MergeRules(VECTOR, **settings))

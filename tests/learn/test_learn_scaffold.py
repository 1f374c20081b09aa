"""SCAFFOLD on one-number models whose training can be followed by hand."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import VECTOR, Point, blobs, quadratic, quadratic_data
from torch import nn

from foedus.core.errors import InvalidSpec, UpdateRefused
from foedus.learn.aggregation import client_weights
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.scaffold import ControlVariate, Scaffold, believed_steps
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Turn, Update, part_of
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.updates import check_update
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


def test_updates_without_steps_are_refused_and_never_divide_by_zero() -> None:
    idle = moved("b", 1e300, 0)
    with pytest.raises(UpdateRefused) as caught:
        check_update(idle.source, Scaffold().update_specs(start(), "b", RULES), start().weights, VECTOR)
    assert caught.value.code == "extra"
    state = Scaffold().aggregate(start(), [idle], RULES)
    assert np.isfinite(state.parts[part_of("b")]["w"]).all()


def test_invented_steps_leave_no_trace_but_a_mean_gradient_of_zero() -> None:
    endless = Scaffold().aggregate(start(), [moved("a", 11.0, 4), moved("b", 10.0, 1 << 48)], RULES)
    assert endless.parts[part_of("b")]["w"] == [0.0]
    assert endless.parts[part_of("a")]["w"] == [-2.5]


def test_believed_steps_are_a_quarter_of_the_median_pace_at_least() -> None:
    claims = [("a", 40, 10), ("b", 80, 20), ("c", 1, 10), ("d", 3, 1), ("e", 1 << 48, 10)]
    updates = [moved(client, 0.0, steps, weight) for client, steps, weight in claims]
    assert believed_steps(updates) == [
        40.0,
        80.0,
        10.0,
        3.0,
        float(1 << 48),
    ]  # 4 steps per example, a quarter
    assert believed_steps(updates[1:3]) == [80.0, 1.0]  # of two, nobody knows which is odd


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 5000), min_size=3, max_size=12), st.integers(1, 5), st.sampled_from([1, 16, 64])
)
def test_honest_steps_are_always_believed(counts: list[int], epochs: int, batch: int) -> None:
    """Of clients with the same settings and at least four batches each, however unequal their data."""
    counts = [4 * batch + count for count in counts]
    updates = [
        moved(f"c{k:02}", 0.0, epochs * -(-count // batch), weight)
        for k, (count, weight) in enumerate(
            zip(counts, client_weights(counts, [0] * len(counts)), strict=True)
        )
    ]
    assert believed_steps(updates) == [float(update.source.read("@steps").item()) for update in updates]


def after_two_rounds(claim: int) -> tuple[float, ServerState]:
    """Four honest clients, and one that makes 40 steps and claims so many."""
    honest = [
        Hill(client, 1.0, centre, steps=4) for client, centre in zip("abcd", (-1, 0, 1, 2), strict=True)
    ]
    liar, state = Hill("e", 1.0, 0.5, steps=40), start()
    for _ in range(2):
        updates = [update_of(state, hill) for hill in [*honest, liar]]
        told = MemorySource({**updates[-1].source.weights, "@steps": np.array(claim)})
        updates[-1] = dataclasses.replace(updates[-1], source=told)
        state = UNIFORM.aggregate(state, updates, RULES)
    return float(state.weights["w"][0]), state


def test_who_claims_one_step_does_not_ruin_the_next_round() -> None:
    honest, _ = after_two_rounds(40)
    lying, _ = after_two_rounds(1)
    assert 0.0 < lying < 10.0
    assert abs(lying - honest) < 5.0


def test_a_control_variate_moves_three_medians_at_most_and_catches_up() -> None:
    gradients = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 7.0}
    state, seen = start(0.0), []
    for _ in range(3):
        common, w = state.parts.get(SERVER, {"w": np.zeros(1)})["w"][0], state.weights["w"][0]
        updates = []
        for client, gradient in gradients.items():
            own = state.parts.get(part_of(client), {"w": np.zeros(1)})["w"][0]
            updates.append(moved(client, w - RATE * (gradient + common - own), 1))
        state = UNIFORM.aggregate(state, updates, RULES)
        own = [state.parts[part_of(client)]["w"][0] for client in gradients]
        assert own[:3] == pytest.approx([1.0] * 3)
        assert state.parts[SERVER]["w"] == pytest.approx([np.mean(own)])
        seen.append(own[3])
    assert seen == pytest.approx([3.0, 6.0, 7.0])


def test_control_variates_stay_finite() -> None:
    update = Update("a", MemorySource({"w": np.array([3e38], np.float32), "@steps": np.array(1)}), 1)
    state = Scaffold().aggregate(ServerState({"w": np.zeros(1, np.float32)}), [update], RULES)
    assert state.parts[part_of("a")]["w"] == [-np.finfo(np.float32).max]
    assert np.isfinite(state.parts[SERVER]["w"]).all()


@pytest.mark.parametrize("training", [{"momentum": 0.9}, {"learning_rate": 0.0}])
def test_what_option_two_cannot_measure_is_refused(training: dict[str, float]) -> None:
    model = linear()
    with pytest.raises(InvalidSpec):
        Scaffold().train(
            model, ServerState(weights_of(model)), blobs(3), TrainSettings(**training), Turn("a", 1)
        )
    with pytest.raises(InvalidSpec):
        Scaffold().aggregate(start(), [moved("a", 1.0, 1)], MergeRules(VECTOR, **training))

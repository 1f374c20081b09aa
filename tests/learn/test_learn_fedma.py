"""FedMA in one exchange of whole models: what must hold for any clients."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import batch_norm_model, blobs
from matching_tools import (
    Recurrent,
    cnn,
    federation,
    inputs_for,
    merged,
    mlp,
    outputs,
    permuted,
    recurrent,
    same,
    scaled,
)
from refused_models import ResidualAdd

from foedus.core.errors import InvalidSpec, UnsupportedArchitecture
from foedus.core.records import WAD
from foedus.learn.aggregation import BufferMode
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.robust import RobustRule
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.weights import MemorySource

BUILDERS = {"mlp": mlp, "cnn": cnn, "lstm": recurrent}
GROWTHS = ["fixed", "bbp"]


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("kind", BUILDERS)
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_permuted_copies_keep_the_function(kind: str, growth: str, seed: int, clients: int) -> None:
    model = scaled(BUILDERS[kind]())
    inputs = inputs_for(model)
    before = outputs(model, weights_of(model), inputs)
    copies = [weights_of(model), *(permuted(model, seed + k) for k in range(clients - 1))]
    state = merged(model, copies, growth=growth)
    assert {name: a.shape for name, a in state.weights.items()} == {n: a.shape for n, a in copies[0].items()}
    assert outputs(model, state.weights, inputs) == pytest.approx(before, abs=1e-3)


def test_two_levels_of_an_lstm_are_matched_with_fixed_widths() -> None:
    model = scaled(Recurrent(2))
    inputs, own = inputs_for(model), weights_of(model)
    before = outputs(model, own, inputs)
    state = merged(model, [own, permuted(model, 1), permuted(model, 2)], growth="fixed")
    assert outputs(model, state.weights, inputs) == pytest.approx(before, abs=1e-3)


def test_averaging_by_place_would_not() -> None:
    model = scaled(mlp())
    inputs, own, other = inputs_for(model), weights_of(model), permuted(model, 3)
    by_place = {name: (own[name] + other[name]) / 2 for name in own}
    assert np.abs(outputs(model, by_place, inputs) - outputs(model, own, inputs)).max() > 0.5


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.sampled_from(GROWTHS))
def test_the_order_of_arrival_does_not_change_a_byte(order: list[int], growth: str) -> None:
    model, strategy = mlp(), FedMA(exchange="model", growth=growth, gamma=1.0)
    state = strategy.init(weights_of(model))
    updates = [Update(f"c{k}", MemorySource(weights_of(scaled(mlp(k)))), 10 + k) for k in range(4)]
    rules = MergeRules(parts_of(model), model=model)
    found = strategy.aggregate(state, [updates[k] for k in order], rules)
    assert same(found, strategy.aggregate(state, updates, rules))


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("merge", ["mean", "map"])
def test_one_client_comes_back_as_it_is(growth: str, merge: str) -> None:
    model, own = mlp(), weights_of(mlp(5))
    found = merged(model, [own], [37], growth=growth, merge=merge).weights
    assert all(found[name].tobytes() == own[name].tobytes() for name in own)
    assert not any(np.shares_memory(found[name], own[name]) for name in own)


def test_one_client_is_plain_training() -> None:
    one = federation(mlp(), clients=1, exchange="model", client_init="global")
    state = one.strategy.init(weights_of(mlp(2)))
    found = one.round(state, 9)
    plain = local_sgd(mlp(2), one.clients["c0"], one.settings, 9).weights
    assert all(found.weights[name].tobytes() == plain[name].tobytes() for name in plain)


def test_nobody_changes_nothing() -> None:
    model = mlp()
    for strategy in (FedMA(), FedMA(exchange="model")):
        state = strategy.init(weights_of(model))
        rules = MergeRules(parts_of(model), model=model)
        assert strategy.aggregate(state, [], rules) is state
        silent = Update("c0", MemorySource(weights_of(model)), 0)
        assert strategy.aggregate(state, [silent], rules) is state


def test_inputs_are_left_alone_and_outputs_share_nothing() -> None:
    model = mlp()
    clients = [weights_of(mlp(k)) for k in range(3)]
    copies = [{name: array.copy() for name, array in one.items()} for one in clients]
    found = merged(model, clients, growth="fixed")
    for one, copy in zip(clients, copies, strict=True):
        assert all((one[name] == copy[name]).all() for name in one)
        assert not any(np.shares_memory(found.weights[name], one[name]) for name in one)


def test_the_net_grows_no_wider_than_allowed() -> None:
    model = mlp()
    clients = [weights_of(scaled(mlp(k), 20)) for k in range(4)]
    limits = (3, 8, 700)
    widths = {n: len(merged(model, clients, max_width=n, gamma=1e6).weights["0.bias"]) for n in limits}
    assert widths[3] == 6  # every client's units need a place
    assert widths[8] == 8
    assert 8 < widths[700] <= 24


def test_rewards_weigh_rows_on_demand_and_outputs_never() -> None:
    model = mlp()
    one, two = weights_of(model), {name: 2 * array for name, array in weights_of(model).items()}

    def found(row_weights: str) -> ServerState:
        strategy = FedMA(exchange="model", row_weights=row_weights, sweeps=0)
        updates = [
            Update("c0", MemorySource(one), 10, WAD),
            Update("c1", MemorySource(two), 20, 2 * WAD),  # as many examples, twice the reward factor
        ]
        rules = MergeRules(parts_of(model), model=model)
        return strategy.aggregate(strategy.init(one), updates, rules)

    assert found("uniform").weights["0.weight"] == pytest.approx(1.5 * one["0.weight"])
    assert found("weighted").weights["0.weight"] == pytest.approx(5 / 3 * one["0.weight"])
    for row_weights in ("uniform", "weighted"):
        assert found(row_weights).weights["4.bias"] == pytest.approx(1.5 * one["4.bias"])


def test_labels_are_disclosed_on_demand_only() -> None:
    model, data = mlp(), blobs(30)
    settings, turn = TrainSettings(epochs=0), Turn("c0", 1)
    state = FedMA().init(weights_of(model))
    for exchange in ("model", "layers"):
        silent = FedMA(exchange=exchange).train(model, state, data, settings, turn)
        assert "@labels" not in silent.handed_over
    telling = FedMA(exchange="model", label_weights=True)
    result = telling.train(model, state, data, settings, turn)
    assert result.handed_over["@labels"].tolist() == [10, 10, 10]
    specs = telling.update_specs(state, "c0", MergeRules(parts_of(model), model=model))
    assert specs["@labels"] == ("I64", (3,))


def test_claimed_labels_count_no_more_than_examples() -> None:
    model = mlp()
    one, two = weights_of(model), weights_of(mlp(1))
    honest, loud = np.array([5, 5, 0]), np.array([10**9, 0, 0])
    extras = [{"@labels": honest}, {"@labels": loud}]
    found = merged(model, [one, two], [10, 10], extras, label_weights=True, sweeps=0, growth="fixed").weights
    first, second = one["4.bias"], two["4.bias"]
    expected = [(first[0] + 2 * second[0]) / 3, first[1], (first[2] + second[2]) / 2]
    assert found["4.bias"] == pytest.approx(np.array(expected))


def test_clients_start_from_weights_of_their_own() -> None:
    model = mlp()
    state = FedMA().init(weights_of(model))
    still = TrainSettings(epochs=0)

    def start(client: str, seed: int = 1, **params: str) -> bytes:
        strategy = FedMA(exchange="model", **params)
        return strategy.train(model, state, blobs(9), still, Turn(client, seed)).weights["2.weight"].tobytes()

    assert start("a") == start("a") != start("b")
    assert start("a") != start("a", seed=2)
    assert start("a", client_init="global") == state.weights["2.weight"].tobytes()


def test_in_later_rounds_clients_go_on_from_their_own_units() -> None:
    fed = federation(mlp(), exchange="model", growth="bbp", gamma=7.0)
    state = fed.round(fed.strategy.init(weights_of(mlp())), 1)
    assert len(state.weights["0.bias"]) > 6
    fed.settings = dataclasses.replace(fed.settings, epochs=0)
    for client in fed.clients:
        turn = Turn(client, 2)
        own = fed.strategy.train(fed.model, state, fed.clients[client], fed.settings, turn).weights
        first, second = (state.parts[f"client/{client}"][f"assign/{layer}"] for layer in ("0", "2"))
        assert (own["0.weight"] == state.weights["0.weight"][first]).all()
        assert (own["2.weight"] == state.weights["2.weight"][np.ix_(second, first)]).all()
        assert (own["4.weight"] == state.weights["4.weight"][:, second]).all()
    stranger = fed.strategy.train(fed.model, state, fed.clients["c0"], fed.settings, Turn("new", 2)).weights
    assert (stranger["2.weight"] == state.weights["2.weight"][:5, :6]).all()


def test_an_update_shows_the_local_model_when_it_is_a_whole_one() -> None:
    model, parts = mlp(), parts_of(mlp())
    state, own = FedMA().init(weights_of(model)), weights_of(mlp(1))
    whole = MemorySource({**own, "@labels": np.zeros(3, np.int64)})
    shown = FedMA(exchange="model").scorable(state, whole, parts)
    assert shown is not None
    assert shown.keys() == own.keys()
    one_layer = MemorySource({name: own[name] for name in ("0.weight", "0.bias")})
    assert FedMA().scorable(state, one_layer, parts) is None
    grown = ServerState({**own, "0.bias": np.zeros(9, np.float32)})
    assert FedMA(exchange="model", growth="bbp").scorable(grown, whole, parts) is None


ROBUST = [
    RobustRule("median"),
    RobustRule("trimmed-mean", byzantine=1),
    RobustRule("krum", byzantine=1),
    RobustRule("geometric-median"),
    RobustRule("centred-clipping", byzantine=1),
]


@pytest.mark.parametrize("rule", ROBUST, ids=lambda rule: rule.rule)
@pytest.mark.parametrize("loudness", [1e4, 1e30])
@pytest.mark.parametrize("kind", BUILDERS)
def test_a_robust_rule_holds_against_a_hostile_client(kind: str, rule: RobustRule, loudness: float) -> None:
    model = scaled(BUILDERS[kind]())
    inputs, own, strategy = inputs_for(model), weights_of(model), FedMA(exchange="model")
    before = outputs(model, own, inputs)
    hostile = {name: np.full_like(array, loudness) for name, array in own.items()}
    clients = [hostile, *(permuted(model, k) for k in range(5))]
    rules = MergeRules(parts_of(model), robust=rule, model=model)
    updates = [Update(f"c{k}", MemorySource(weights), 10) for k, weights in enumerate(clients)]
    state = strategy.init(permuted(model, 77))  # its units have another order than anybody's
    strategy.check(model, rule)
    found = outputs(model, strategy.aggregate(state, updates, rules).weights, inputs)
    assert found == pytest.approx(before, abs=2e-2)
    plain = strategy.aggregate(state, updates, dataclasses.replace(rules, robust=RobustRule()))
    assert np.abs(outputs(model, plain.weights, inputs) - before).max() > 1


def test_parameters_that_contradict_each_other_are_refused() -> None:
    model, median = mlp(), RobustRule("median")
    with pytest.raises(InvalidSpec, match="weights"):
        FedMA(merge="map", row_weights="weighted").check(model)
    for params in ({"growth": "bbp"}, {"merge": "map"}, {"label_weights": True}):
        FedMA(**params).check(model)
        with pytest.raises(InvalidSpec, match="median"):
            FedMA(**params).check(model, median)
    FedMA().check(model, median)
    with pytest.raises(UnsupportedArchitecture, match="one width"):
        FedMA(growth="bbp").check(Recurrent(2))
    FedMA().check(Recurrent(2))
    with pytest.raises(UnsupportedArchitecture, match="BatchNorm1d"):
        FedMA().check(batch_norm_model())
    FedMA(batch_norm=True).check(batch_norm_model())
    with pytest.raises(UnsupportedArchitecture, match="widths cannot change"):
        FedMA(batch_norm=True, growth="bbp").check(batch_norm_model())


@pytest.mark.parametrize("mode", ["local", "pooled"])
def test_normalisation_that_is_not_averaged_is_refused(mode: BufferMode) -> None:
    model = batch_norm_model()
    strategy = FedMA(batch_norm=True)
    rules = MergeRules(parts_of(model, mode == "local"), mode, model=model)
    with pytest.raises(InvalidSpec, match=mode) as caught:
        strategy.update_specs(strategy.init(weights_of(model)), "c0", rules)
    assert "average" in caught.value.hint
    without = mlp()
    assert FedMA().update_specs(
        FedMA().init(weights_of(without)), "c0", MergeRules(parts_of(without), mode, model=without)
    )


def test_fallback_is_fedavg_to_the_byte() -> None:
    strategy, fedavg = get_strategy("fedma", {"fallback": "fedavg"}), get_strategy("fedavg")
    model = ResidualAdd()
    strategy.check(model)
    assert strategy.steps(model) == 1
    state, rules = strategy.init(weights_of(model)), MergeRules(parts_of(model), model=model)
    assert strategy.update_specs(state, "c0", rules) == fedavg.update_specs(state, "c0", rules)
    turn, once = Turn("c0", 3), TrainSettings()
    trained = [each.train(model, state, blobs(30), once, turn).weights for each in (strategy, fedavg)]
    assert all(trained[0][name].tobytes() == trained[1][name].tobytes() for name in trained[0])
    updates = [Update("c0", MemorySource(trained[0]), 3), Update("c1", MemorySource(state.weights), 1)]
    assert same(strategy.aggregate(state, updates, rules), fedavg.aggregate(state, updates, rules))
    assert strategy.scorable(state, MemorySource(trained[0]), rules.parts) is not None


def test_shapes_are_fixed_unless_the_net_grows() -> None:
    assert FedMA().has_fixed_shapes
    assert not FedMA(growth="bbp").has_fixed_shapes

"""FedMA over whole rounds: exchanges, what is frozen, who is missing, and going on after a stop."""

import dataclasses
import itertools
from io import BytesIO

import numpy as np
import pytest
import torch
from learn_tools import batch_norm_model, cases
from matching_tools import Federation, Recurrent, cnn, federation, mlp, outputs, recurrent, same
from torch import nn

from foedus.core.errors import TaskFailed, UpdateRefused
from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.examples import Examples
from foedus.learn.matching.trace import analyse
from foedus.learn.robust import RobustRule
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import TrainSettings, local_sgd
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Weights
from foedus.store import encode
from foedus.store.tensorfile import TensorFile

MODELS = {"mlp": mlp, "cnn": cnn, "lstm": recurrent}
MODES = [
    (exchange, growth, init)
    for exchange in ("layers", "model")
    for growth, init in (("fixed", "own"), ("bbp", "own"), ("bbp", "global"))
]


def started(model: nn.Module, **params: object) -> tuple[Federation, ServerState]:
    fed = federation(model, **params)
    fed.strategy.check(model)
    return fed, fed.strategy.init(weights_of(model))


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "growth", "init"), MODES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_federation_learns(kind: str, exchange: str, growth: str, init: str) -> None:
    fed, state = started(
        MODELS[kind](), exchange=exchange, growth=growth, client_init=init, gamma=1.0, max_width=14
    )
    fed.settings = dataclasses.replace(fed.settings, epochs=8)
    before = {name: array.shape for name, array in state.weights.items()}
    for number in (1, 2):
        state = fed.round(state, number)
        assert state.counters["merges"] == number * fed.strategy.steps(fed.model)
        assert set(state.parts) == {f"client/c{k}" for k in range(3)}
    shapes = {name: array.shape for name, array in state.weights.items()}
    assert (shapes == before) or growth == "bbp"
    assert fed.accuracy(state) > 0.6  # of three classes
    analyse(fed.model)  # what was fitted is a model, whatever its widths


def test_a_round_hands_over_one_layer_after_the_other() -> None:
    case = cases("fedma")["ma_communication_schedule"]
    torch.manual_seed(0)
    widths = (4, 6, 5, 7, 3)
    model = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        model.extend([nn.Linear(before, after), nn.Tanh()])
    assert len(analyse(model).layers) == case["inputs"]["layers"]
    fed, state = started(model, growth="bbp", gamma=7.0)
    for step in range(1, case["expected"]["server_steps"] + 1):
        state = fed.exchange(state, 1, step)
        layer = f"{2 * step - 2}."
        frozen = [name for name in state.weights if int(name.split(".")[0]) < 2 * step - 2]
        for client in fed.clients:
            result = fed.results[step, client]
            assert set(result.handed_over) == {f"{layer}weight", f"{layer}bias"}
            for name in frozen:  # identical on all clients
                assert result.weights[name].tobytes() == state.weights[name].tobytes()
            assert set(result.memory) == (set() if step == 4 else set(state.weights))
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert len(state.weights["0.bias"]) > 6


@pytest.mark.parametrize("growth", ["fixed", "bbp"])
def test_the_next_round_starts_from_the_clients_own_units(growth: str) -> None:
    assert "assign_j" in cases("fedma")["ma_communication_schedule"]["expected"]["next_round_local_model"]
    fed, state = started(cnn(), growth=growth, gamma=7.0)
    state = fed.round(state, 1)
    fed.settings = dataclasses.replace(fed.settings, epochs=0)
    own = fed.strategy.train(fed.model, state, fed.clients["c1"], fed.settings, Turn("c1", 2)).weights
    assign = {name.removeprefix("assign/"): a for name, a in state.parts["client/c1"].items()}
    assert (own["3.weight"] == state.weights["3.weight"][np.ix_(assign["3"], assign["0"])]).all()
    blocks = state.weights["7.weight"].reshape(len(state.weights["7.weight"]), -1, 9)
    expected = blocks[np.ix_(assign["7"], assign["3"])].reshape(6, 45)
    assert (own["7.weight"] == expected).all()


def test_without_training_between_exchanges_give_what_one_exchange_gives() -> None:
    params = {
        "growth": "bbp",
        "gamma": 7.0,
        "sweeps": 0,
    }  # sweeps come in an order of their own in each exchange
    many, state = started(mlp(), retrain_epochs=0, **params)
    by_layers = many.round(state, 1)
    once, state = started(mlp(), exchange="model", **params)
    at_once = once.round(state, 1)
    assert all(by_layers.weights[name].tobytes() == at_once.weights[name].tobytes() for name in state.weights)
    assert all(
        (by_layers.parts[part][name] == array).all()
        for part, tensors in at_once.parts.items()
        for name, array in tensors.items()
    )


def through_the_store(state: ServerState) -> ServerState:
    """Write and read all of it, as between two tasks."""

    def again(weights: Weights) -> Weights:
        return TensorFile(BytesIO(b"".join(bytes(part) for part in encode(weights)))).read_all()

    parts = {name: again(part) for name, part in state.parts.items()}
    return ServerState(again(state.weights), parts, dict(state.counters))


@pytest.mark.slow
@pytest.mark.parametrize("growth", ["fixed", "bbp"])
def test_stopping_between_exchanges_changes_nothing(growth: str) -> None:
    fed, state = started(mlp(), growth=growth)
    other, stored = started(mlp(), growth=growth)
    other.store = through_the_store
    for number in (1, 2):
        for step in (1, 2, 3):
            state = fed.exchange(state, number, step)
            other.model = mlp(number + step)  # another process, another model object
            other.strategy.fit(other.model, weights_of(mlp()))
            stored = other.exchange(stored, number, step)
            assert same(state, stored)


def test_who_vanishes_in_a_round_has_no_row_and_comes_back_in_the_next() -> None:
    fed, state = started(mlp(), growth="bbp", gamma=7.0)
    state = fed.round(state, 1)
    state = fed.exchange(state, 2, 1)
    assert all(set(part) == {"assign/0"} for part in state.parts.values())  # the last round's are gone
    state = fed.exchange(state, 2, 2, ["c0", "c2"])
    assert set(state.parts) == {"client/c0", "client/c2"}
    with pytest.raises(TaskFailed, match="took no part"):
        fed.exchange(state, 2, 3, ["c1"])
    state = fed.exchange(state, 2, 3, ["c0", "c2"])
    outputs(fed.model, state.weights, fed.clients["c0"].inputs)  # a whole net
    state = fed.round(state, 3)
    assert set(state.parts) == {f"client/c{k}" for k in range(3)}


def test_who_missed_an_exchange_of_the_round_is_refused() -> None:
    fed, state = started(mlp())
    state = fed.exchange(state, 1, 1, ["c0", "c1"])
    assert fed.strategy.update_specs(state, "c1", fed.rules(2))
    assert fed.strategy.update_specs(state, "c2", fed.rules(1))
    with pytest.raises(UpdateRefused, match="'0'") as caught:
        fed.strategy.update_specs(state, "c2", fed.rules(2))
    assert caught.value.code == "absent"
    state = fed.exchange(state, 1, 2, ["c0"])
    with pytest.raises(UpdateRefused) as caught:  # c1's first exchange went with the second it missed
        fed.strategy.update_specs(state, "c1", fed.rules(3))
    assert caught.value.code == "absent"
    once = federation(mlp(), exchange="model").strategy
    assert once.update_specs(once.init(weights_of(mlp())), "c2", fed.rules(2))


def test_updates_of_another_layer_or_width_are_refused() -> None:
    fed, state = started(mlp(), growth="bbp", gamma=7.0)
    state = fed.exchange(state, 1, 1)
    rules = fed.rules(2)
    specs = fed.strategy.update_specs(state, "c0", rules)
    assert specs["2.weight"] == ("F32", (5, len(state.weights["0.bias"])))
    good = {name: np.zeros(shape, np.float32) for name, (_, shape) in specs.items()}
    check_update(MemorySource(good), specs, state.weights, rules.parts)
    for bad in (
        {**good, "2.weight": np.zeros((5, 6), np.float32)},
        {**good, "0.bias": np.zeros(6, np.float32)},
        {"0.weight": np.zeros((6, 4), np.float32), "0.bias": np.zeros(6, np.float32)},
    ):
        with pytest.raises(UpdateRefused):
            check_update(MemorySource(bad), specs, state.weights, rules.parts)


def test_labels_come_with_the_last_layer() -> None:
    fed, state = started(mlp(), label_weights=True)
    fed.round(state, 1)
    assert "@labels" not in fed.results[1, "c0"].handed_over
    assert fed.results[3, "c0"].handed_over["@labels"].tolist() == [20, 20, 20]


def test_the_last_layer_learns_slower_and_longer_as_in_the_released_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed, state = started(mlp(), retrain_epochs=2)
    used: list[TrainSettings] = []

    def spied(
        model: nn.Module, data: Examples, settings: TrainSettings, *rest: int, **named: object
    ) -> object:
        used.append(settings)
        return local_sgd(model, data, settings, *rest, **named)

    monkeypatch.setattr("foedus.learn.algorithms.fedma.local_sgd", spied)
    fed.clients = {"c0": fed.clients["c0"]}
    fed.round(state, 1)
    again = dataclasses.replace(fed.settings, epochs=2)
    last = dataclasses.replace(
        again, epochs=6, learning_rate=fed.settings.learning_rate / 10, weight_decay=1e-4
    )
    assert used == [fed.settings, again, last]


def test_running_statistics_are_the_clients_own_at_the_end() -> None:
    fed, state = started(batch_norm_model(), batch_norm=True)
    fed.round(state, 1)
    state = fed.round(state, 2)
    handed = fed.results[2, "c1"].handed_over
    assert set(handed) == {"3.weight", "3.bias", "1.running_mean", "1.running_var"}
    inputs = fed.clients["c1"].inputs
    hidden = inputs @ torch.tensor(state.weights["0.weight"]).T + torch.tensor(state.weights["0.bias"])
    assert handed["1.running_mean"] == pytest.approx(hidden.mean(dim=0).numpy(), abs=1e-5)
    mean = sum(fed.results[2, client].handed_over["1.running_mean"] for client in fed.clients)
    assert state.weights["1.running_mean"] == pytest.approx(mean / len(fed.clients), abs=1e-6)  # as rows are
    assert handed["1.running_var"] == pytest.approx(hidden.var(dim=0).numpy(), rel=1e-4)
    assert fed.accuracy(state) > 0.6


@pytest.mark.parametrize("exchange", ["layers", "model"])
@pytest.mark.parametrize("row_weights", ["uniform", "weighted"])
def test_running_statistics_weigh_as_their_rows_do(exchange: str, row_weights: str) -> None:
    model = batch_norm_model()
    strategy = FedMA(exchange=exchange, row_weights=row_weights, batch_norm=True)
    start, weights = strategy.init(weights_of(model)), (1, 3)
    merged = start
    for step in range(1, strategy.steps(model) + 1):
        rules = MergeRules(parts_of(model), model=model, step=step)
        updates = []
        for client, weight in enumerate(weights):
            kept = strategy.update_specs(merged, f"c{client}", rules)
            own = {**start.weights, "1.running_mean": np.full(6, float(client), np.float32)}
            own["0.weight"] = own["0.weight"] + np.float32(1e-3 * client)
            updates.append(Update(f"c{client}", MemorySource({n: own[n] for n in kept}), weight))
        merged = strategy.aggregate(merged, updates, rules)
    share = 0.75 if row_weights == "weighted" else 0.5
    assert merged.weights["1.running_mean"].tolist() == [share] * 6
    moves = np.sort(merged.weights["0.weight"], axis=None) - np.sort(start.weights["0.weight"], axis=None)
    assert moves == pytest.approx(1e-3 * share, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["layers", "model"])
def test_a_robust_federation_learns_beside_a_hostile_client(exchange: str) -> None:
    fed = federation(mlp(), clients=5, exchange=exchange, client_init="global")
    fed.robust, fed.settings = RobustRule("median"), dataclasses.replace(fed.settings, epochs=6)
    fed.strategy.check(fed.model, fed.robust)
    hostile = dataclasses.replace(fed.clients["c0"], targets=(fed.clients["c0"].targets + 1) % 3)
    fed.clients = {**fed.clients, "c0": dataclasses.replace(hostile, inputs=hostile.inputs * 50)}
    state = fed.strategy.init(weights_of(fed.model))
    for number in (1, 2):
        state = fed.round(state, number)
    fed.clients = {name: data for name, data in fed.clients.items() if name != "c0"}
    assert fed.accuracy(state) > 0.6


def test_a_model_of_one_layer_needs_no_matching() -> None:
    fed, state = started(nn.Sequential(nn.Linear(4, 3)), client_init="own")
    assert fed.strategy.steps(fed.model) == 1
    state = fed.round(state, 1)
    assert state.parts == {}
    state = fed.round(state, 2)
    assert fed.accuracy(state) > 0.6


def test_a_recurrent_net_of_two_levels_takes_an_exchange_for_each() -> None:
    fed, state = started(Recurrent(2))
    assert fed.strategy.steps(fed.model) == 4
    state = fed.round(state, 1)
    assert fed.results[2, "c0"].handed_over.keys() == {
        f"lstm.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }

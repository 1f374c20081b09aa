"""Moving units and columns of layers, and merging their rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_tools import Recurrent, cnn, inputs_for, mlp, outputs, permuted, recurrent
from torch import nn

from foedus.learn.matching.bbp import Prior
from foedus.learn.matching.chain import Layer, LayerTensor
from foedus.learn.matching.layers import (
    cut,
    features,
    merge,
    merge_map,
    move_inputs,
    move_units,
    shape_with,
    units,
)
from foedus.learn.matching.trace import analyse
from foedus.learn.state import weights_of

MODELS = {"mlp": mlp, "cnn": cnn, "lstm": recurrent, "two levels": lambda: Recurrent(2)}
DENSE = Layer("fc", "linear", (LayerTensor("w", "matrix"), LayerTensor("b", "vector")), 1)
ONES = [np.ones(2), np.ones(2)]


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_units_in_another_order_compute_the_same(kind: str, seed: int) -> None:
    model = MODELS[kind]()
    inputs, own = inputs_for(model), weights_of(model)
    before = outputs(model, own, inputs)
    assert outputs(model, permuted(model, seed), inputs) == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "lstm"])
def test_inputs_from_a_wider_layer_compute_the_same(kind: str) -> None:
    model = MODELS[kind]()
    chain, own, inputs = analyse(model), weights_of(model), inputs_for(model)
    before = outputs(model, own, inputs)
    first, second = chain.layers[:2]
    width, random = units(first, own) + 3, np.random.default_rng(0)
    places = random.permutation(width)[: units(first, own)]
    wider = {**own, **_widened(first, own, places, width), **move_inputs(second, own, places, width)}
    assert outputs(model, wider, inputs) == pytest.approx(before, abs=1e-5)


def _widened(layer: Layer, own: dict, places: np.ndarray, width: int) -> dict:
    """The layer with strangers' units beside its own."""
    stranger = {name: own[name] + 1 for name in layer.names()}
    others = np.setdiff1d(np.arange(width), places)
    ones = [np.ones(len(places)), np.ones(len(others))]
    few = cut(layer, stranger, np.arange(len(others)), None)
    return dict(merge(layer, [own, few], [places, others], width, ones))


@pytest.mark.parametrize("kind", MODELS)
def test_cutting_out_everything_moves_nothing_and_shares_nothing(kind: str) -> None:
    model = MODELS[kind]()
    own, before = weights_of(model), None
    for layer in analyse(model).layers:
        every = np.arange(units(layer, own))
        for name, array in cut(layer, own, every, before).items():
            assert array.tobytes() == own[name].tobytes()
            assert not np.shares_memory(array, own[name])
        back = move_units(layer, move_units(layer, own, every[::-1]), every[::-1])
        assert all(back[name].tobytes() == own[name].tobytes() for name in layer.names())
        before = every


@pytest.mark.parametrize("kind", MODELS)
def test_shapes_with_other_widths(kind: str) -> None:
    model = MODELS[kind]()
    own, before = weights_of(model), 0
    for layer in analyse(model).layers:
        width = units(layer, own)
        for tensor in layer.tensors:
            assert shape_with(layer, tensor, own[tensor.name].shape, width, before) == own[tensor.name].shape
            grown = shape_with(layer, tensor, own[tensor.name].shape, width + 2, before)
            assert np.prod(grown) > own[tensor.name].size
        before = width


def test_rows_are_weights_channel_by_channel_and_then_the_bias() -> None:
    model = cnn()
    own = weights_of(model)
    first = analyse(model).layers[0]
    rows = features(first, own)
    assert (rows[:, :-1] == own["0.weight"].reshape(4, -1)).all()
    assert (rows[:, -1] == own["0.bias"]).all()


def test_rows_of_an_lstm_are_all_gates_without_its_own_inputs() -> None:
    model = recurrent()
    own = weights_of(model)
    rows = features(analyse(model).layers[1], own)
    gates = own["lstm.weight_ih_l0"].reshape(4, 5, 3)
    biases = [own[f"lstm.bias_{part}_l0"].reshape(4, 5) for part in ("ih", "hh")]
    assert rows.shape == (5, 4 * 3 + 8)
    assert sorted(rows[2]) == sorted([*gates[:, 2].ravel(), *biases[0][:, 2], *biases[1][:, 2]])


def test_with_batch_normalisation_rows_are_what_it_makes_of_them() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    norm = model[1]
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.uniform_(0.5, 2.0)
    rows = features(analyse(model, batch_norm=True).layers[0], weights_of(model))
    inputs = torch.randn(5, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = model.eval()[1](model[0](inputs)).numpy()
    assert inputs.numpy() @ rows[:, :-1].T + rows[:, -1] == pytest.approx(expected)


def test_a_row_is_divided_by_who_has_the_row_not_the_column() -> None:
    one = {"w": np.array([[2.0, 4.0], [6.0, 8.0]]), "b": np.array([1.0, 2.0])}
    places = [np.array([0, 1]), np.array([2, 0])]
    wide = [dict(move_inputs(DENSE, one, place, 3)) for place in places]
    merged = merge(DENSE, wide, [np.array([0, 1]), np.array([1, 2])], 3, ONES)
    assert merged["w"].tolist() == [[2, 4, 0], [(6 + 4) / 2, 8 / 2, 2 / 2], [8, 0, 6]]
    assert merged["b"].tolist() == [1, 1.5, 2]


def test_the_posterior_mode_shrinks_rows() -> None:
    one = {"w": np.array([[2.0, 4.0], [6.0, 8.0]]), "b": np.array([1.0, 2.0])}
    same = [np.arange(2)] * 2
    assert merge_map(DENSE, [one, one], same, 2, Prior())["w"] == pytest.approx(one["w"] * 2 / 3)
    pulled = merge_map(DENSE, [one, one], same, 2, Prior(sigma=0.5, sigma0=2.0, mu0=1.0))["w"]
    assert pulled == pytest.approx((0.5 + 4 * one["w"]) / 4.5)


def test_recurrent_weights_move_on_both_sides() -> None:
    layer = Layer("lstm", "lstm", (LayerTensor("i", "gates"), LayerTensor("h", "recurrent", False)), 0)
    own = {"i": np.arange(8.0).reshape(8, 1), "h": np.arange(16.0).reshape(8, 2)}
    swapped = move_units(layer, own, np.array([1, 0]))
    assert swapped["h"][:2].tolist() == [[3, 2], [1, 0]]
    assert swapped["i"].ravel().tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    both = merge(layer, [own, own], [np.array([0, 1]), np.array([1, 2])], 3, ONES)
    assert both["h"][:3].tolist() == [[0, 1, 0], [2 / 2, (3 + 0) / 2, 1 / 2], [0, 2, 3]]


def test_counters_take_the_maximum() -> None:
    layer = Layer("bn", "linear", (LayerTensor("w", "matrix"), LayerTensor("n", "counter", False)), 0)
    clients = [{"w": np.ones((1, 1)), "n": np.array(count)} for count in (3, 7, 5)]
    assert merge(layer, clients, [np.arange(1)] * 3, 1, [np.ones(1)] * 3)["n"] == 7

"""Giving models other widths in place."""

import numpy as np
import pytest
import torch
from learn_tools import batch_norm_model
from matching_tools import Recurrent, cnn, inputs_for, mlp, outputs, recurrent
from torch import nn

from foedus.core.errors import UnsupportedModel
from foedus.learn.matching.layers import cut, merge, move_inputs, units
from foedus.learn.matching.resize import fit
from foedus.learn.matching.trace import analyse
from foedus.learn.state import weights_of
from foedus.learn.weights import Weights


def doubled(model: nn.Module, batch_norm: bool = False) -> Weights:
    """Every hidden unit twice, each copy counting half in the next layer: the same function."""
    wide, before, width = {}, None, 0
    own = weights_of(model)
    chain = analyse(model, batch_norm)
    for layer in chain.layers:
        tensors = {name: own[name] for name in layer.names()}
        if before is not None:
            halves = [move_inputs(layer, tensors, places, width) for places in before]
            every = np.arange(units(layer, own))
            tensors = dict(merge(layer, halves, [every] * 2, len(every), [np.ones(len(every))] * 2))
        if layer is chain.last:
            return {**wide, **tensors}
        width = 2 * units(layer, own)
        before = [np.arange(width // 2), np.arange(width // 2, width)]
        wide |= merge(layer, [tensors] * 2, before, width, [np.ones(width // 2)] * 2)
    raise AssertionError


@pytest.mark.parametrize("build", [mlp, cnn, recurrent])
def test_a_model_grows_and_shrinks_in_place(build: object) -> None:
    model = build()
    inputs, own, wide = inputs_for(model), weights_of(model), doubled(model)
    before, parameters = outputs(model, own, inputs), list(model.parameters())
    assert outputs(model, wide, inputs) == pytest.approx(before, abs=1e-5)
    assert [a is b for a, b in zip(parameters, model.parameters(), strict=True)] == [True] * len(parameters)
    assert len(analyse(model).layers) == len(analyse(build()).layers)  # its numbers know the widths, too
    model(inputs).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())
    assert outputs(model, own, inputs) == pytest.approx(before, abs=1e-5)
    model(inputs).sum().backward()
    assert repr(model) == repr(build())


def test_batch_normalisation_gets_the_width_too() -> None:
    model = batch_norm_model()
    own = weights_of(model)
    kept = np.array([4, 1])
    chain = analyse(model, batch_norm=True)
    small = {**cut(chain.layers[0], own, kept, None), **cut(chain.last, own, None, kept)}
    inputs = inputs_for(model)
    outputs(model, small, inputs)
    assert model[1].num_features == 2
    model.train()(inputs)


def test_nothing_is_replaced_when_the_shapes_are_right() -> None:
    model = mlp()
    data = [parameter.data_ptr() for parameter in model.parameters()]
    fit(model, weights_of(mlp(1)))
    assert data == [parameter.data_ptr() for parameter in model.parameters()]
    assert (weights_of(model)["0.weight"] == weights_of(mlp(1))["0.weight"]).all()


def test_what_has_no_width_cannot_be_fitted() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.PReLU(6))
    other = weights_of(nn.Sequential(nn.Linear(4, 5), nn.PReLU(5)))
    with pytest.raises(UnsupportedModel, match="shape"):
        fit(model, other)
    with pytest.raises(UnsupportedModel, match="do not belong together"):
        fit(mlp(), weights_of(cnn()))
    with pytest.raises(UnsupportedModel, match="do not belong together"):
        fit(Recurrent(1), weights_of(Recurrent(2)))


def test_frozen_stays_frozen() -> None:
    model = mlp()
    model[0].weight.requires_grad_(False)
    fit(model, doubled(mlp()))
    assert model[0].weight.requires_grad is False
    assert isinstance(model[0].weight, nn.Parameter)
    assert model[0].weight.dtype == torch.float32

"""Convolutional surrogates of a simulation on a periodic grid: from a state to its change some steps on."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from foedus.learn.arguments import Parameter
from foedus.learn.models.registry import register_model
from foedus.learn.objectives import REGRESSION

_FIELDS: Final = ((0.5, 0.3), (0.2, 0.15))
"""Mean and spread of u and v where a pattern is."""
_RATES: Final = ((0.0, 1.0), (0.0, 1.0))
"""Those of F and k, which come standardised."""

_PARAMETERS: Final = (
    Parameter("width", 32, "channels of the hidden layers", low=2, high=512),
    Parameter("depth", 2, "hidden layers between the first and the last", low=0, high=16),
)


@register_model(
    "surrogate",
    title="Convolutional surrogate of a simulation of two fields (19,682 parameters at width 32)",
    input_shape=(2, None, None),
    parameters=_PARAMETERS,
    channels_last=True,
    objective=REGRESSION,
)
def surrogate(width: int, depth: int) -> nn.Module:
    """Build convolutions of 3 × 3 with circular padding and GELU: the grid has no border.

    Weights begin as He et al. (2015, arXiv:1502.01852) draw them, the first layer as if u and v were
    standardised: with PyTorch's own start plain SGD hardly moves.
    """
    return _convolutions(_FIELDS, width, depth)


@register_model(
    "parametric-surrogate",
    title="Surrogate that is told the rates F and k, too (20,258 parameters at width 32)",
    input_shape=(4, None, None),
    parameters=_PARAMETERS,
    channels_last=True,
    objective=REGRESSION,
)
def parametric_surrogate(width: int, depth: int) -> nn.Module:
    """Build the same for a state of u, v, F and k: what a state becomes depends on the rates as well."""
    return _convolutions((*_FIELDS, *_RATES), width, depth)


def _convolutions(usual: Sequence[tuple[float, float]], width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [_round(len(usual), width, usual), nn.GELU()]
    for _ in range(depth):
        layers += [_round(width, width), nn.GELU()]
    return nn.Sequential(*layers, _round(width, len(_FIELDS)))


def _round(before: int, after: int, usual: Sequence[tuple[float, float]] = ()) -> nn.Module:
    """Build one layer; of channels with a usual mean and spread it begins as if they had 0 and 1."""
    layer = nn.Conv2d(before, after, 3, padding=1, padding_mode="circular")
    assert layer.bias is not None, "it has one unless told otherwise"
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight)
        layer.bias.zero_()
        for channel, (mean, spread) in enumerate(usual):
            layer.weight[:, channel] /= spread
            layer.bias -= mean * layer.weight[:, channel].sum(dim=(1, 2))
    return layer

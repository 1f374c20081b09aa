"""What a model may do between its layers, and why the rest cannot be matched."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from foedus.core.errors import UnsupportedArchitecture

_Function = Callable[..., Any]

ELEMENTWISE_MODULES: Final[tuple[type[nn.Module], ...]] = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Softplus,
    nn.Softsign,
    nn.Softshrink,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardshrink,
    nn.Threshold,
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
)
"""They do the same to every unit."""

POOLING_MODULES: Final[tuple[type[nn.Module], ...]] = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
"""They work within each channel."""

OUTPUT_MODULES: Final[tuple[type[nn.Module], ...]] = (nn.Softmax, nn.LogSoftmax)
"""They look at all units together, which is right for outputs only."""

ELEMENTWISE: Final[frozenset[_Function]] = frozenset(
    {
        torch.relu,
        torch.tanh,
        torch.sigmoid,
        functional.relu,
        functional.relu6,
        functional.leaky_relu,
        functional.elu,
        functional.selu,
        functional.celu,
        functional.gelu,
        functional.silu,
        functional.mish,
        functional.sigmoid,
        functional.logsigmoid,
        functional.tanh,
        functional.softplus,
        functional.softsign,
        functional.hardtanh,
        functional.hardsigmoid,
        functional.hardswish,
        functional.dropout,
        functional.dropout2d,
        functional.alpha_dropout,
    }
)
ELEMENTWISE_METHODS: Final = frozenset(
    {"relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_", "contiguous"}
)

POOLING: Final[frozenset[_Function]] = frozenset(
    {
        torch.max_pool2d,
        functional.max_pool2d,
        functional.avg_pool2d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_max_pool2d,
    }
)
OUTPUT: Final[frozenset[_Function]] = frozenset(
    {torch.softmax, torch.log_softmax, functional.softmax, functional.log_softmax}
)
OUTPUT_METHODS: Final = frozenset({"softmax", "log_softmax"})
FLATTEN: Final[frozenset[_Function]] = frozenset({torch.flatten})
FLATTEN_METHODS: Final = frozenset({"flatten"})
RESHAPE: Final[frozenset[_Function]] = frozenset({torch.reshape})
RESHAPE_METHODS: Final = frozenset({"view", "reshape"})
RESHAPING: Final = FLATTEN | RESHAPE | {torch.unsqueeze, torch.permute, torch.transpose}
INPUT_METHODS: Final = FLATTEN_METHODS | RESHAPE_METHODS | {"unsqueeze", "permute", "transpose"}
"""These, and the methods, are free to use before the first layer."""

HINT = 'Use another algorithm ("fedavg", "fedprox", "fedadam" …), or set fallback = "fedavg".'

JOIN = "it joins two paths (a residual or skip connection), whose units would need one common order"
BRANCH = "it does not take what the step before it gave: the model has more than one path"
_NORM = "it normalises units of a group together, which is wrong once units are merged or added"
_HEADS = "the order of units within attention heads and between queries and keys cannot be matched"

_WHY_NOT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), "it has its outputs in dimension 1"
    ),
    **dict.fromkeys(
        ("GroupNorm", "LayerNorm", "RMSNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _NORM
    ),
    **dict.fromkeys(
        ("MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerDecoder"), _HEADS
    ),
    **dict.fromkeys(("TransformerEncoderLayer", "TransformerDecoderLayer"), _HEADS),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "batch_norm"),
        "batch normalisation is supported right behind Linear and Conv2d only",
    ),
    **dict.fromkeys(("matmul", "bmm", "einsum", "scaled_dot_product_attention"), _HEADS),
}
_OTHERWISE = "it is none of the layers and operations that can be matched"


def refuse(part: str, reason: str, hint: str = HINT) -> UnsupportedArchitecture:
    """Return the error for a part that cannot be matched."""
    return UnsupportedArchitecture(part, reason, hint)


def why_not(name: str) -> str:
    """Return why a module's class, function or method cannot be matched."""
    return _WHY_NOT.get(name.strip("_"), _OTHERWISE)


def name_of(target: object) -> str:
    """Return what users call a function or method."""
    if target is operator.getitem:
        return "indexing"
    return target if isinstance(target, str) else str(getattr(target, "__name__", target))

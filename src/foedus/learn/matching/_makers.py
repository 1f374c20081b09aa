"""From PyTorch's modules to layers whose units can be matched."""

import dataclasses

from torch import nn

from foedus.learn.matching._operations import HINT, refuse
from foedus.learn.matching.chain import Layer, LayerTensor, Norm


def linear(name: str, module: nn.Linear, columns: int) -> Layer:
    """Return the layer of a linear module, `columns` of whose inputs belong to one unit before it."""
    return Layer(name, "linear", _weight_and_bias(name, module.bias is not None), columns)


def convolution(name: str, module: nn.Conv2d, columns: int) -> Layer:
    """Return the layer of a convolution. Raises `UnsupportedArchitecture` for groups and odd padding."""
    what = f"{name} (Conv2d)"
    if module.groups != 1:
        raise refuse(what, "its groups tie units of this layer to units of the one before")
    if module.padding_mode != "zeros":
        raise refuse(what, f"padding_mode {module.padding_mode!r} is not supported, only 'zeros'")
    return Layer(name, "conv", _weight_and_bias(name, module.bias is not None), columns)


def lstm(name: str, module: nn.LSTM, is_first: bool) -> tuple[Layer, ...]:
    """Return one layer for each level of an LSTM. Raises `UnsupportedArchitecture` for its variants."""
    what = f"{name} (LSTM)"
    if module.bidirectional:
        raise refuse(what, "a bidirectional LSTM has two kinds of units for every input")
    if module.proj_size:
        raise refuse(what, "the projected units (proj_size) of an LSTM cannot be matched")
    layers = []
    for level in range(module.num_layers):
        tensors = [LayerTensor(f"{name}.weight_ih_l{level}", "gates")]
        if module.bias:
            tensors += [LayerTensor(f"{name}.bias_{part}_l{level}", "gate_vector") for part in ("ih", "hh")]
        tensors.append(LayerTensor(f"{name}.weight_hh_l{level}", "recurrent", is_feature=False))
        layers.append(Layer(f"{name}.l{level}", "lstm", tuple(tensors), 0 if is_first and not level else 1))
    return tuple(layers)


def embedding(name: str, module: nn.Embedding) -> Layer:
    """Return the layer of an embedding, whose dimensions are the units."""
    if module.max_norm is not None:
        raise refuse(f"{name} (Embedding)", "max_norm changes weights while the model computes")
    return Layer(name, "embedding", (LayerTensor(f"{name}.weight", "table"),), 0)


def with_norm(layer: Layer, name: str, module: nn.BatchNorm1d | nn.BatchNorm2d, is_wanted: bool) -> Layer:
    """Return the layer together with the batch normalisation right behind it."""
    what = f"{name} ({type(module).__name__})"
    if not is_wanted:
        raise refuse(
            what,
            "batch normalisation makes the size of weights meaningless and means of its statistics wrong",
            f"Set batch_norm = true to try it all the same. {HINT}",
        )
    if layer.kind not in ("linear", "conv") or layer.norm:
        raise refuse(what, "batch normalisation is supported right behind Linear and Conv2d only")
    if not module.track_running_stats:
        raise refuse(what, "batch normalisation without running statistics is not supported")
    mean, variance = f"{name}.running_mean", f"{name}.running_var"
    weight, bias = (f"{name}.weight", f"{name}.bias") if module.affine else ("", "")
    tensors = [
        LayerTensor(each, "vector", is_feature=False) for each in (weight, bias, mean, variance) if each
    ]
    counter = LayerTensor(f"{name}.num_batches_tracked", "counter", is_feature=False)
    norm = Norm(mean, variance, weight, bias, module.eps)
    return dataclasses.replace(layer, tensors=(*layer.tensors, *tensors, counter), norm=norm)


def _weight_and_bias(name: str, has_bias: bool) -> tuple[LayerTensor, ...]:
    weight, bias = LayerTensor(f"{name}.weight", "matrix"), LayerTensor(f"{name}.bias", "vector")
    return (weight, bias) if has_bias else (weight,)

"""Give a model's layers the widths that some weights have."""

import torch
from torch import nn

from foedus.learn.state import load_weights
from foedus.learn.weights import Weights

_RESIZABLE = (nn.Linear, nn.Conv2d, nn.LSTM, nn.Embedding, nn.BatchNorm1d, nn.BatchNorm2d)


def fit(model: nn.Module, weights: Weights) -> None:
    """Bring the model's layers, in place, to the weights' shapes, wider or narrower, and load the weights.

    The parameters stay the same objects. Raises `UnsupportedModel` when names differ, or the shape of
    something that has no width of its own.
    """
    if model.state_dict().keys() == weights.keys():
        for name, module in model.named_modules():
            if isinstance(module, _RESIZABLE):
                _resize(module, f"{name}." if name else "", weights)
    load_weights(model, weights)


def _resize(module: nn.Module, prefix: str, weights: Weights) -> None:
    tensors: dict[str, torch.Tensor] = module.state_dict(keep_vars=True)
    shapes = {name: weights[prefix + name].shape for name in tensors}
    is_same = all(tuple(tensor.shape) == shapes[name] for name, tensor in tensors.items())
    if is_same or any(tensor.ndim != len(shapes[name]) for name, tensor in tensors.items()):
        return
    for name, tensor in tensors.items():
        fresh = torch.zeros(shapes[name], dtype=tensor.dtype, device=tensor.device)
        if isinstance(tensor, nn.Parameter):
            tensor.grad = None  # its shape would not fit
            tensor.data = fresh
        else:
            setattr(module, name, fresh)
    _name_widths(module)


def _name_widths(module: nn.Module) -> None:
    """Set the numbers by which a module knows its widths."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
    elif isinstance(module, nn.LSTM):
        shapes = {name: tensor.shape for name, tensor in module.named_parameters()}
        module.hidden_size, module.input_size = shapes["weight_hh_l0"][1], shapes["weight_ih_l0"][1]
        module.flatten_parameters()

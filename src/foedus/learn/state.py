"""Between PyTorch models and `Weights`."""

import torch
from torch import nn

from foedus.core.errors import UnsupportedModel
from foedus.learn.weights import Parts, Weights

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def parts_of(model: nn.Module, is_norm_local: bool = False) -> Parts:
    """Sort the tensors of the state dict into trainable, frozen, float buffers and other buffers.

    `is_norm_local`: all tensors of batch normalisation are `local` instead (FedBN, Li et al. 2021).
    Raises `UnsupportedModel` for trainable parameters that are not real floats and for extra state that is no
    tensor.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    local = _norm_tensors(model) if is_norm_local else frozenset()
    kinds: dict[str, list[str]] = {"trainable": [], "frozen": [], "float": [], "other": [], "local": []}
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            raise UnsupportedModel(f"the model's state {name!r} is not a tensor", "Remove the extra state.")
        kinds["local" if name in local else _kind(name, tensor, parameters.get(name))].append(name)
    return Parts(
        trainable=tuple(kinds["trainable"]),
        frozen=tuple(kinds["frozen"]),
        float_buffers=tuple(kinds["float"]),
        other_buffers=tuple(kinds["other"]),
        local=tuple(kinds["local"]),
    )


def has_batch_norm(model: nn.Module) -> bool:
    """Tell whether the model has batch normalisation anywhere."""
    return any(isinstance(module, BATCH_NORMS) for module in model.modules())


def _norm_tensors(model: nn.Module) -> frozenset[str]:
    return frozenset(
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, BATCH_NORMS)
        for name in module.state_dict()
    )


def _kind(name: str, tensor: torch.Tensor, parameter: nn.Parameter | None) -> str:
    if parameter is None:
        return "float" if tensor.is_floating_point() else "other"
    if not parameter.requires_grad:
        return "frozen"
    if not tensor.is_floating_point():
        raise UnsupportedModel(f"parameter {name!r} has type {tensor.dtype}", "Use float32 parameters.")
    return "trainable"


def weights_of(model: nn.Module) -> Weights:
    """Copy the model's state to NumPy arrays (C order), sorted by name."""
    # numpy() of a tensor in channels-last order would keep that order, hence contiguous(); then a true copy.
    return {
        name: tensor.detach().to("cpu").contiguous().numpy().copy()
        for name, tensor in sorted(model.state_dict().items())
    }


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Copy weights into the model. Raises `UnsupportedModel` unless names and shapes are the model's."""
    state = model.state_dict()
    for name in sorted(state.keys() ^ weights.keys()):
        where = "weights lack" if name in state else "model has no"
        raise UnsupportedModel(
            f"the {where} tensor {name!r}", "Weights and model spec do not belong together."
        )
    with torch.no_grad():
        for name, tensor in state.items():
            if tuple(tensor.shape) != weights[name].shape:
                raise UnsupportedModel(
                    f"tensor {name!r} has shape {weights[name].shape}, the model's {tuple(tensor.shape)}"
                )
            tensor.copy_(torch.tensor(weights[name]))


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return P: the parameters that have a gradient, each once, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's parameters lie."""
    return next(model.parameters()).device

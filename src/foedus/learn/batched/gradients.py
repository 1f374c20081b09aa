"""One batch's loss and gradients, by autograd, or directly for plain chains of linear layers.

For a small network autograd takes several times longer to find out what to compute than to compute it. A
chain's backward pass is short enough to be written down: same kernels, same order, hence the same bits.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import nn

from foedus.learn.objectives import CLASSIFICATION
from foedus.learn.state import trainable_parameters
from foedus.learn.training import Loss

Gradients: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, Sequence[torch.Tensor | None]]
]
"""From (inputs, targets) to the mean loss and its gradients by the trainable parameters, in their order."""

_MEAN, _NO_LABEL = 1, -100  # arguments that `cross_entropy` gives to its kernels
_nll, _nll_back = torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss_backward.default
_log_softmax_back = torch.ops.aten._log_softmax_backward_data.default
_relu_back = torch.ops.aten.threshold_backward.default


def gradients_of(model: nn.Module, loss: Loss) -> Gradients:
    """Return how to compute gradients at the parameters' present values."""
    if is_cross_entropy(loss) and is_chain(model):
        return _Chain(model)
    return _Autograd(model, loss)


def is_cross_entropy(loss: Loss) -> bool:
    """Tell whether this is the loss that has a faster way here."""
    return loss in (nn.functional.cross_entropy, CLASSIFICATION.loss)


def is_chain(model: nn.Module) -> bool:
    """Tell whether the model is flatten, linear, ReLU, linear, … linear in float32 on the CPU, no more."""
    layers = list(model.children())
    linear = layers[1::2]
    return (
        type(model) is nn.Sequential
        and len(layers) % 2 == 0
        and bool(linear)
        and type(layers[0]) is nn.Flatten
        and (layers[0].start_dim, layers[0].end_dim) == (1, -1)
        and all(type(layer) is nn.ReLU and not layer.inplace for layer in layers[2::2])
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
        and len({id(p) for p in model.parameters()}) == 2 * len(linear)
        and all(p.requires_grad and p.dtype == torch.float32 and p.is_cpu for p in model.parameters())
        and not any(_has_hooks(module) for module in model.modules())
    )


class _Autograd:
    """Gradients of any model."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        self.model, self.loss, self.parameters = model, loss, trainable_parameters(model)

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        loss = self.loss(self.model(inputs), targets)
        return loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True)


class _Chain:
    """Gradients of cross-entropy behind a chain of linear layers with ReLU in between."""

    def __init__(self, model: nn.Module) -> None:
        linear = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
        self.layers = [(layer.weight.detach(), layer.bias.detach()) for layer in linear]  # the same storage
        self.one = torch.ones(())

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        entering = [inputs.flatten(1)]  # (B, in) of each layer
        for weight, bias in self.layers[:-1]:
            entering.append(torch.relu(nn.functional.linear(entering[-1], weight, bias)))
        logs = torch.log_softmax(nn.functional.linear(entering[-1], *self.layers[-1]), 1)
        loss, count = _nll(logs, targets, None, _MEAN, _NO_LABEL)
        back = _nll_back(self.one, logs, targets, None, _MEAN, _NO_LABEL, count)
        gradient = _log_softmax_back(back, logs, 1, logs.dtype)  # (B, out)
        found: list[torch.Tensor] = []
        for index in reversed(range(len(self.layers))):
            found[:0] = [gradient.t().mm(entering[index]), gradient.sum(0)]
            if index:
                gradient = _relu_back(gradient.mm(self.layers[index][0]), entering[index], 0)
        return loss, found


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)

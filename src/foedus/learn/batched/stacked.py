"""One batch's losses and gradients of many clients: by `torch.vmap`, or directly for chains of linear layers.

The sum of the clients' losses has, for each client's parameters, the gradient of that client's loss alone. So
only the forward pass needs vmap, and PyTorch's compiler, which `torch.func.grad` would load, is not needed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import nn
from torch.func import functional_call

from foedus.core.errors import UnsupportedModel
from foedus.learn.batched.gradients import is_chain, is_cross_entropy
from foedus.learn.training import Loss

HINT = 'Train the clients one by one: jobs.batch = "serial", or `train_serial`.'

StackedGradients: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, Sequence[torch.Tensor | None]]
]
"""From inputs and targets (K, B, ...) to mean losses (K) and gradients, in the order of the parameters."""


def stacked_gradients(model: nn.Module, stacked: Mapping[str, torch.Tensor], loss: Loss) -> StackedGradients:
    """Return how to compute gradients at the present values of `stacked`, the parameters (K, ...) by name."""
    if is_cross_entropy(loss) and is_chain(model):
        return _Chain(list(stacked.values()))
    return _Vmap(model, stacked, loss)


class _Vmap:
    """Gradients of any model that vmap can run."""

    def __init__(self, model: nn.Module, stacked: Mapping[str, torch.Tensor], loss: Loss) -> None:
        self.stacked = dict(stacked)

        def loss_of(
            own: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            return loss(functional_call(model, own, (inputs,)), targets)

        self.losses_of = torch.vmap(loss_of)

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        try:
            losses = self.losses_of(self.stacked, inputs, targets)
        except RuntimeError as error:
            what = str(error).partition("\n")[0]
            raise UnsupportedModel(
                f"the model cannot be trained for many clients at once: {what}", HINT
            ) from error
        gradients = torch.autograd.grad(losses.sum(), list(self.stacked.values()), allow_unused=True)
        return losses.detach(), gradients


class _Chain:
    """Gradients of cross-entropy behind linear layers with ReLU in between, as batched matrix products."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        values = [parameter.detach() for parameter in parameters]  # the same storage
        self.layers = list(zip(values[::2], values[1::2], strict=True))  # (K, out, in), (K, out)

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        entering = [inputs.flatten(2)]  # (K, B, in) of each layer
        for weight, bias in self.layers[:-1]:
            entering.append(_linear(entering[-1], weight, bias).relu_())
        logs = torch.log_softmax(_linear(entering[-1], *self.layers[-1]), 2)
        labels = targets.unsqueeze(2)
        losses = logs.gather(2, labels).mean((1, 2)).neg_()
        gradient = (logs.exp() - torch.zeros_like(logs).scatter_(2, labels, 1.0)).div_(targets.shape[1])
        found: list[torch.Tensor] = []
        for index in reversed(range(len(self.layers))):
            found[:0] = [gradient.transpose(1, 2).bmm(entering[index]), gradient.sum(1)]
            if index:
                gradient = gradient.bmm(self.layers[index][0]).mul_(entering[index] > 0)
        return losses, found


def _linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight.transpose(1, 2))

"""Scoring a model on examples."""

import torch
from torch import nn

from foedus.core.errors import InvalidData
from foedus.learn.devices import Placed
from foedus.learn.examples import Examples
from foedus.learn.objectives import Evaluation
from foedus.learn.state import device_of


def evaluate(model: nn.Module, data: Examples, label_count: int, batch_size: int = 256) -> Evaluation:
    """Score in evaluation mode, without gradients; the model's mode is restored. Deterministic.

    Raises `InvalidData` for an empty set, labels outside 0..label_count-1 and outputs of a wrong shape.
    """
    if not len(data):
        raise InvalidData("there is no example to score", "Give an evaluation set with examples.")
    was_training = model.training
    model.eval()
    try:
        losses, seen = _observe(model, data, batch_size)
    finally:
        model.train(was_training)
    return data.objective.judge(losses, seen, label_count)


@torch.inference_mode()
def _observe(model: nn.Module, data: Examples, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return on the CPU the loss of each example, and what the objective must know of it: (N,), (N, k)."""
    batches = Placed.on(device_of(model), data).batches(torch.arange(len(data)), batch_size)
    found = [data.objective.observe(model(inputs), targets) for inputs, targets in batches]
    return torch.cat([losses for losses, _ in found]).cpu(), torch.cat([seen for _, seen in found]).cpu()

"""Scoring a model on labelled examples."""

from dataclasses import dataclass

import torch
from torch import nn

from foedus.learn.examples import Examples
from foedus.learn.metrics import confusion, f1_per_label
from foedus.learn.state import device_of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model achieves on a set of examples. The loss may be infinite; the scores lie in [0, 1]."""

    loss: float  # mean cross-entropy
    f1: float  # macro, over the project's label set
    accuracy: float
    examples: int
    f1_per_label: tuple[float, ...]


def evaluate(model: nn.Module, data: Examples, label_count: int, batch_size: int = 256) -> Evaluation:
    """Score in evaluation mode, without gradients; the model's mode is restored. Deterministic.

    Raises `InvalidData` for an empty set or labels outside 0..label_count-1.
    """
    was_training = model.training
    model.eval()
    try:
        losses, predicted = _predict(model, data, batch_size)
    finally:
        model.train(was_training)
    counts = confusion(data.targets.cpu().numpy(), predicted.cpu().numpy(), label_count)
    f1 = f1_per_label(counts)
    return Evaluation(
        loss=float(losses.double().mean()),
        f1=float(f1.mean()),
        accuracy=float(counts.trace() / counts.sum()),
        examples=len(data),
        f1_per_label=tuple(float(value) for value in f1),
    )


@torch.inference_mode()
def _predict(model: nn.Module, data: Examples, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cross-entropy and predicted label of each example: (N,), (N,)."""
    data = data.to(device_of(model))
    order = torch.arange(len(data), device=data.targets.device)
    losses, predicted = [torch.empty(0, device=order.device)], [order[:0]]
    for inputs, targets in data.batches(order, batch_size):
        scores = model(inputs)  # (B, labels)
        losses.append(nn.functional.cross_entropy(scores, targets, reduction="none"))
        predicted.append(scores.argmax(dim=1))
    return torch.cat(losses), torch.cat(predicted)

"""Synthetic(α, β): devices whose models and inputs differ as much as wanted. For experiments.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated optimization in heterogeneous networks. MLSys 2020.
https://arxiv.org/abs/1812.06127 (section 5.1, and the released generator)

    n_k = ⌊lognormal(4, 2)⌋ + 50        u_k ~ N(0, α)     B_k ~ N(0, β)        α, β as standard deviations
    W_k, b_k ~ N(u_k, 1)                v_k ~ N(B_k, 1)
    x ~ N(v_k, Σ),  Σ_jj = j^-1.2       y = argmax(x W_k + b_k)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from foedus.core.errors import InvalidSpec
from foedus.learn.examples import Examples

FEATURES, LABELS = 60, 10
_TRAIN_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Device:
    """One device's examples: inputs (N, 60) float32, labels 0 to 9. 90 % are for training."""

    train: Examples
    test: Examples


def synthetic(alpha: float, beta: float, devices: int = 30, seed: int = 7) -> list[Device]:
    """Draw the devices, in the order of the released generator (NumPy's `RandomState`).

    `alpha`: how much models differ between devices, `beta`: how much inputs do. Raises `InvalidSpec` for
    negative ones, or without a device.
    """
    if not (alpha >= 0 and beta >= 0 and devices > 0):
        raise InvalidSpec(
            f"synthetic({alpha}, {beta}) with {devices} devices", "Use α, β ≥ 0 and 1 device or more."
        )
    random = np.random.RandomState(seed)
    counts = random.lognormal(4, 2, devices).astype(np.int64) + 50
    model_means = random.normal(0, alpha, devices)
    input_means = random.normal(0, beta, devices)
    centres = [random.normal(mean, 1, FEATURES) for mean in input_means]
    drawn = [
        _draw(random, int(count), mean, centre)
        for count, mean, centre in zip(counts, model_means, centres, strict=True)
    ]
    return [_divided(random, *one) for one in drawn]


def counts_of(devices: Sequence[Device]) -> list[int]:
    """Return how many training examples each device has."""
    return [len(device.train) for device in devices]


def _draw(
    random: np.random.RandomState, count: int, model_mean: float, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    weights = random.normal(model_mean, 1, (FEATURES, LABELS))
    bias = random.normal(model_mean, 1, LABELS)
    scale = np.arange(1, FEATURES + 1) ** -0.6  # standard deviations
    inputs = centre + random.standard_normal((count, FEATURES)) * scale
    return inputs, np.argmax(inputs @ weights + bias, axis=1)


def _divided(random: np.random.RandomState, inputs: np.ndarray, labels: np.ndarray) -> Device:
    order = random.permutation(len(labels))
    cut = int(_TRAIN_SHARE * len(labels))
    train, test = order[:cut], order[cut:]
    return Device(_examples(inputs[train], labels[train]), _examples(inputs[test], labels[test]))


def _examples(inputs: np.ndarray, labels: np.ndarray) -> Examples:
    return Examples(torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64))

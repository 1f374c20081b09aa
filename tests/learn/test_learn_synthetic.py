"""Synthetic(α, β) against the released generator, written out."""

import numpy as np
import pytest
import torch

from foedus.core.errors import InvalidSpec
from foedus.learn.synthetic import FEATURES, LABELS, counts_of, synthetic


def released(alpha: float, beta: float, devices: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """`generate_synthetic` of the authors' repository, without its files."""
    random = np.random.RandomState(seed)
    samples = random.lognormal(4, 2, devices).astype(int) + 50
    mean_w = random.normal(0, alpha, devices)
    mean_b = mean_w
    b_of = random.normal(0, beta, devices)
    covariance = np.diag([np.power(j + 1, -1.2) for j in range(60)])
    mean_x = np.zeros((devices, 60))
    for i in range(devices):
        mean_x[i] = random.normal(b_of[i], 1, 60)
    drawn = []
    for i in range(devices):
        weights = random.normal(mean_w[i], 1, (60, 10))
        bias = random.normal(mean_b[i], 1, 10)
        inputs = random.multivariate_normal(mean_x[i], covariance, samples[i])
        drawn.append((inputs, np.array([np.argmax(np.dot(x, weights) + bias) for x in inputs])))
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "beta", "devices", "seed"), [(1, 1, 30, 7), (0, 0, 3, 1), (0.5, 0.5, 4, 2)]
)
def test_the_examples_are_those_of_the_released_generator(
    alpha: float, beta: float, devices: int, seed: int
) -> None:
    found = synthetic(alpha, beta, devices, seed)
    for device, (inputs, labels) in zip(found, released(alpha, beta, devices, seed), strict=True):
        ours = torch.cat([device.train.inputs, device.test.inputs]).numpy()
        targets = torch.cat([device.train.targets, device.test.targets]).numpy()
        wanted, own = (
            np.lexsort(inputs.astype(np.float32).T),
            np.lexsort(ours.T),
        )  # theirs are not divided yet
        np.testing.assert_allclose(ours[own], inputs[wanted], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(targets[own], labels[wanted])


def test_nine_tenths_are_for_training() -> None:
    devices = synthetic(1, 1, 5)
    for device in devices:
        assert device.train.inputs.shape[1:] == (FEATURES,)
        assert len(device.train) == int(0.9 * (len(device.train) + len(device.test)))
        assert device.train.inputs.dtype == torch.float32
        assert 0 <= int(device.train.targets.min()) <= int(device.train.targets.max()) < LABELS
    assert counts_of(devices) == [len(device.train) for device in devices]


def test_the_seed_decides() -> None:
    first, again, other = (synthetic(1, 1, 2, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0].train.inputs, again[0].train.inputs)
    assert counts_of(first) != counts_of(other)


@pytest.mark.parametrize(
    ("alpha", "beta", "devices"), [(-1, 0, 1), (0, -1, 1), (0, 0, 0), (float("nan"), 0, 1)]
)
def test_unusable_arguments(alpha: float, beta: float, devices: int) -> None:
    with pytest.raises(InvalidSpec, match="synthetic"):
        synthetic(alpha, beta, devices)

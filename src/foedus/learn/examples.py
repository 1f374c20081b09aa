"""Examples ready for a model: normalised once, float32, so that a training step only has to pick rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from foedus.core.errors import InvalidData

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of the 60,000 training images, in 0..1

_Images: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs (N, ...) and targets (N, ...), and whether batches of images go out in channels-last order."""

    inputs: torch.Tensor
    targets: torch.Tensor
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "Examples":
        """Move to a device."""
        return Examples(self.inputs.to(device), self.targets.to(device), self.channels_last)

    def part(self, start: int, stop: int) -> "Examples":
        """Return a view of some examples."""
        return Examples(self.inputs[start:stop], self.targets[start:stop], self.channels_last)

    def batches(self, order: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (inputs, targets) of `size` rows in the given order; the last batch may be smaller."""
        # Rows are picked while the channel axis is last, so batches have the wanted memory order for free.
        rows = self.inputs.permute(0, 2, 3, 1).contiguous() if self.channels_last else self.inputs
        for start in range(0, len(order), size):
            picked = order[start : start + size]
            inputs = rows.index_select(0, picked)
            yield (
                inputs.permute(0, 3, 1, 2) if self.channels_last else inputs,
                self.targets.index_select(0, picked),
            )


def prepare_images(
    images: _Images,
    labels: npt.NDArray[np.int64],
    input_shape: tuple[int, int, int],
    channels_last: bool = False,
    mean: float = MNIST_MEAN,
    std: float = MNIST_STD,
) -> Examples:
    """Turn uint8 images (N, H, W) or (N, C, H, W) into normalised float32 inputs (N, C, H, W).

    Raises `InvalidData` when shapes or types do not fit the model's `input_shape` (C, H, W).
    """
    if len(images) != len(labels):
        raise InvalidData(f"{len(images)} images but {len(labels)} labels")
    _require_images(images, input_shape)
    inputs = torch.tensor(images).reshape(-1, *input_shape).to(torch.float32)
    return Examples(
        inputs.div_(255.0).sub_(mean).div_(std), torch.tensor(labels, dtype=torch.int64), channels_last
    )


def _require_images(images: npt.NDArray[Any], input_shape: tuple[int, int, int]) -> None:
    fits = images.shape[1:] == input_shape or (1, *images.shape[1:]) == input_shape
    if images.dtype != np.uint8 or not fits:
        raise InvalidData(
            f"images are {images.dtype} of shape {images.shape[1:]}, the model wants uint8 of {input_shape}",
            "Choose a model for these images, or convert them.",
        )

"""Examples ready for a model: normalised once, float32, so that a training step only has to pick rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from foedus.core.errors import InvalidData
from foedus.learn.models.registry import ModelInfo
from foedus.learn.objectives import CLASSIFICATION, LABELLED_SEGMENTATION, Objective, with_labels
from foedus.learn.shapes import InputShape, fits

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of the 60,000 training images, in 0..1

_MIDDLE, _SPREAD = 0.5, 0.25  # of pictures of any kind, in 0..1

Targets: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""What is to be learnt when it is no label: masks (N, H, W) of 0 and 1, or fields (N, C, H, W)."""

_Images: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs (N, ...) and targets (N, ...), what is to be learnt from them, and their memory order."""

    inputs: torch.Tensor
    targets: torch.Tensor
    channels_last: bool = False  # whether batches of images go out in that order
    objective: Objective = CLASSIFICATION

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def size_bytes(self) -> int:
        """How much memory they take while batches are picked, for which inputs may be copied into order."""
        is_copied = self.channels_last and self.inputs.shape[1] > 1
        return self.inputs.nbytes * (2 if is_copied else 1) + self.targets.nbytes

    def to(self, device: torch.device) -> "Examples":
        """Move to a device."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def part(self, start: int, stop: int) -> "Examples":
        """Return a view of some examples."""
        return replace(self, inputs=self.inputs[start:stop], targets=self.targets[start:stop])

    def joined(self, others: Sequence["Examples"]) -> "Examples":
        """Return these examples and then those of the others, which are of the same kind."""
        everything = (self, *others)
        return replace(
            self,
            inputs=torch.cat([one.inputs for one in everything]),
            targets=torch.cat([one.targets for one in everything]),
        )

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


def examples_for(
    info: ModelInfo, images: npt.NDArray[Any], labels: npt.NDArray[np.int64], targets: Targets | None = None
) -> Examples:
    """Make examples ready for a model from what files hold.

    Images are uint8 (N, H, W) or (N, C, H, W), or fields of float32, which are taken as they are. What is to
    be learnt is the labels, or for any other objective than classification the `targets` (N, ...), or both.
    Raises `InvalidData` when they do not fit the model.
    """
    if info.objective is CLASSIFICATION:
        return prepare_images(images, labels, info.input_shape, info.channels_last)
    if targets is None or len(targets) != len(images):
        raise InvalidData(
            f"model {info.name!r} learns {info.objective.name}, and these examples have no targets for that",
            "Choose data with masks or fields, or a model that classifies.",
        )
    inputs = _fields(images, info.input_shape)
    wanted = torch.from_numpy(np.ascontiguousarray(targets))
    if info.objective is LABELLED_SEGMENTATION:
        wanted = with_labels(wanted, torch.from_numpy(labels))
    return Examples(inputs, wanted, info.channels_last, info.objective)


def prepare_images(
    images: _Images,
    labels: npt.NDArray[np.int64],
    input_shape: InputShape,
    channels_last: bool = False,
    mean: float = MNIST_MEAN,
    std: float = MNIST_STD,
) -> Examples:
    """Turn uint8 images (N, H, W) or (N, C, H, W) into normalised float32 inputs (N, C, H, W).

    Raises `InvalidData` when shapes or types do not fit the model's `input_shape` (C, H, W).
    """
    if len(images) != len(labels):
        raise InvalidData(f"{len(images)} images but {len(labels)} labels")
    inputs = _normalised(images, input_shape, mean, std)
    return Examples(inputs, torch.tensor(labels, dtype=torch.int64), channels_last)


def _fields(values: npt.NDArray[Any], input_shape: InputShape) -> torch.Tensor:
    """Return inputs (N, C, H, W): bytes from 0 to 1 around ½, floats as they are."""
    if values.dtype == np.uint8:
        return _normalised(values, input_shape, _MIDDLE, _SPREAD)
    if values.dtype != np.float32 or not fits(values.shape[1:], input_shape):
        raise InvalidData(
            f"examples are {values.dtype} of shape {values.shape[1:]}, the model wants {input_shape}",
            "Choose a model for these data, or convert them.",
        )
    return torch.from_numpy(np.ascontiguousarray(values)).reshape(_with_channels(values.shape, input_shape))


def _normalised(images: _Images, input_shape: InputShape, mean: float, std: float) -> torch.Tensor:
    if images.dtype != np.uint8 or not fits(images.shape[1:], input_shape):
        raise InvalidData(
            f"images are {images.dtype} of shape {images.shape[1:]}, the model wants uint8 of {input_shape}",
            "Choose a model for these images, or convert them.",
        )
    inputs = torch.tensor(images).reshape(_with_channels(images.shape, input_shape)).to(torch.float32)
    return inputs.div_(255.0).sub_(mean).div_(std)


def _with_channels(shape: Sequence[int], wanted: InputShape) -> tuple[int, ...]:
    return (shape[0], wanted[0], *shape[-2:])

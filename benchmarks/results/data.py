"""Where the results' examples come from."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.result import CannotRun, Options
from foedus.core.ids import ClientId
from foedus.learn.datasets import ImageSet, mnist
from foedus.learn.examples import MNIST_MEAN, MNIST_STD, Examples, prepare_images
from foedus.learn.models import model_info
from foedus.learn.partitions import Indices, partition


@dataclass(frozen=True, slots=True)
class Digits:
    """MNIST's own training and test examples, ready for a model."""

    train: Examples
    test: Examples
    source: str

    def part(self, indices: Indices) -> Examples:
        """Return some of the training examples."""
        return pick(self.train, indices)


def digits(
    options: Options, model: str = "2nn", train: int = 60_000, test: int = 10_000, seed: int = 1
) -> Digits:
    """Return MNIST, or a stratified part of it. Raises `CannotRun` without the files."""
    if options.mnist is None:
        raise CannotRun("no MNIST idx files: name a folder that holds data/mnist as FOEDUS_SHARED")
    images, info = mnist("folder", options.mnist), model_info(model)
    if options.quick:
        train, test = min(train, 400), min(test, 100)
    pieces = [
        _taken(images, slice(0, images.train_count), train, seed),
        _taken(images, slice(images.train_count, None), test, seed),
    ]
    ready = [prepare_images(*piece, info.input_shape, info.channels_last) for piece in pieces]
    source = f"MNIST, {train:,} training and {test:,} test images"
    return Digits(ready[0], ready[1], source if (train, test) != (60_000, 10_000) else f"{source} (all)")


def _taken(images: ImageSet, part: slice, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = images.images[part], images.labels[part]
    if count < len(labels):
        some = ImageSet(pixels, labels, images.label_count, len(labels), "").take(count, seed)
        return some.images, some.labels
    return pixels, labels


def pick(data: Examples, indices: Indices) -> Examples:
    """Return some examples, as copies."""
    chosen = torch.from_numpy(np.asarray(indices))
    return Examples(data.inputs[chosen], data.targets[chosen], data.channels_last)


def pixels(data: Examples) -> Examples:
    """Return standardised images as pixels from 0 to 1 again."""
    return Examples(data.inputs * MNIST_STD + MNIST_MEAN, data.targets, data.channels_last)


def spread(data: Examples, name: str, count: int, seed: int, **arguments: float) -> dict[ClientId, Examples]:
    """Give each of `count` clients its examples by a named partition."""
    names = [f"c{number:03}" for number in range(count)]
    parts = partition(name, data.targets.numpy(), names, seed, arguments)
    return {ClientId(client): pick(data, indices) for client, indices in parts.items()}

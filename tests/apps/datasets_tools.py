"""Small data of each kind, written to disk, and read from there."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foedus.apps.datasets.kinds import find_format
from foedus.apps.datasets.listing import list_files
from foedus.apps.datasets.source import Source, checked
from foedus.core.errors import InvalidData


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an idx file of bytes."""
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def random_images(count: int, side: int = 6, seed: int = 1) -> np.ndarray:
    """Draw images of bytes (N, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def idx_folder(folder: Path, count: int = 20) -> Path:
    """Write the two pairs of MNIST's files, with four times as many for training; labels are 0 to 3."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, size, seed in (("train", count, 1), ("t10k", count // 4, 2)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", random_images(size, seed=seed))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(size) % 4)
    return folder


def image_folder(folder: Path, classes: dict[str, int], size: tuple[int, int] = (6, 5)) -> Path:
    """Write a folder of grey PNG files for each class."""
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.random.default_rng([number, index]).integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def npz_file(path: Path, count: int = 40, labels: int = 4, seed: int = 1) -> Path:
    """Write images and labels as NumPy does."""
    np.savez(path, images=random_images(count, seed=seed), labels=np.arange(count) % labels)
    return path


def read(kind: str, path: Path) -> Source:
    """Read data as they lie there."""
    found, listing = find_format(kind), list_files(path)
    return checked(found.read(listing.keep(found.pick(listing)), None))


def refused(kind: str, path: Path, words: str) -> None:
    """Check that data are refused with these words (a pattern)."""
    with pytest.raises(InvalidData, match=words):
        read(kind, path)

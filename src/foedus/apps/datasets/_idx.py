"""MNIST-style idx files."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

import numpy as np
import numpy.typing as npt

from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import Each, Source
from foedus.core.errors import InvalidData
from foedus.learn.datasets.idx import read_idx

_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
_ORDER: Final = ("train", "t10k")


def pick(listing: Listing) -> Sequence[str]:
    """Return the idx files directly in the folder."""
    found = [name for name in listing.names if "/" not in name and (_IMAGES in name or _LABELS in name)]
    if not any(_IMAGES in name for name in found):
        raise InvalidData(f"there is no file …-{_IMAGES} (or .gz)", "Name the folder with the idx files.")
    for name in found:
        if f"{name}.gz" in found:
            raise InvalidData(f"{name} is there twice, plain and as .gz", "Move one of them elsewhere.")
    return found


def read(listing: Listing, each: Each) -> Source:
    """Read all images, those of `train` first, and their labels."""
    images = sorted((name for name in listing.names if _IMAGES in name), key=_place)
    labels = [name for name in listing.names if _LABELS in name]
    values = [_array(listing, name, 3) for name in images]
    if len({one.shape[1:] for one in values}) > 1:
        raise InvalidData(f"images have different sizes: {sorted({one.shape[1:] for one in values})}")
    if not labels:
        return Source(np.concatenate(values), None)
    read_labels = [_array(listing, _partner(name, labels), 1) for name in images]
    for name, one, theirs in zip(images, values, read_labels, strict=True):
        if len(one) != len(theirs):
            raise InvalidData(f"{name} has {len(one)} images, but there are {len(theirs)} labels")
    return Source(np.concatenate(values), np.concatenate(read_labels).astype(np.int64))


def _array(listing: Listing, name: str, axes: int) -> npt.NDArray[np.uint8]:
    try:
        return read_idx(listing.path(name), axes)
    except InvalidData as error:  # its advice concerns public data
        raise InvalidData(error.message, "Put a sound copy of the file there.") from error


def _place(name: str) -> tuple[int, str]:
    first = name.partition("-")[0]
    return (_ORDER.index(first) if first in _ORDER else len(_ORDER), name)


def _partner(images: str, labels: Sequence[str]) -> str:
    wanted = PurePath(images).name.removesuffix(".gz").replace(_IMAGES, _LABELS)
    for name in labels:
        if name.removesuffix(".gz") == wanted:
            return name
    raise InvalidData(f"{wanted} (or .gz) is missing: the labels of {images}")

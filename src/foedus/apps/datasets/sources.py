"""Reads data of each kind into arrays. Nothing of it is trusted: sizes are checked before memory is taken.

idx      a folder with MNIST's four idx files, or two of them; plain or .gz
images   a folder with a folder of PNG or JPEG files per class; or without classes, just the files
arrays   one .npy file, or one .npz with `images` (or `inputs`, `values`, `x`) and `labels` (or `y`)
table    one CSV file with a header and numbers; a column `label` is the class
frames   the output of SIM_REACTION_DIFFUSION, or a folder of such outputs; labels are the regimes
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.apps.datasets.listing import Listing
from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.arguments import hint_for

Values: TypeAlias = npt.NDArray[Any]
Labels: TypeAlias = npt.NDArray[np.int64]

MOST_BYTES: Final = 16 << 30  # of an array in memory
MOST_LABELS: Final = 100_000
_WIDEST_BYTES: Final = 8  # of a number


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Examples as they lie there: values (N, ...) and labels (N,) from 0, or none.

    `names` are those of the labels, where the data name them; they never leave the owner.
    """

    values: Values
    labels: Labels | None
    names: tuple[str, ...] = ()


Each: TypeAlias = Callable[[Values], Values] | None
"""What to do with each image before they are put together, so that they have one size."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind: which of the files belong to the data, and how they are read."""

    pick: Callable[[Listing], Sequence[str]]
    read: Callable[[Listing, Each], Source]


def formats() -> dict[str, Format]:
    """Return all kinds by name."""
    from foedus.apps.datasets import _arrays, _idx, _images, _table, frames

    return {
        "idx": Format(_idx.pick, _idx.read),
        "images": Format(_images.pick, _images.read),
        "arrays": Format(_arrays.pick, _arrays.read),
        "table": Format(_table.pick, _table.read),
        "frames": Format(frames.pick, frames.read),
    }


def find_format(kind: str) -> Format:
    """Look a kind up. Raises `InvalidSpec` naming the nearest."""
    known = formats()
    if kind not in known:
        raise InvalidSpec(f"there is no kind of dataset {kind[:40]!r}", hint_for(kind, known))
    return known[kind]


def checked(source: Source) -> Source:
    """Return the source, in this machine's order of bytes, if it is usable.

    Raises `InvalidData` saying what is wrong.
    """
    values, labels = source.values, source.labels
    is_number = values.dtype.kind in "uifb" and values.dtype.itemsize <= _WIDEST_BYTES
    if not is_number or values.ndim < 2:
        raise InvalidData(
            f"values are {values.dtype} of shape {values.shape}; they must be numbers, one row an example"
        )
    if not values.size:
        raise InvalidData("there is no example, or there is nothing in it")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidData("some values are infinite or NaN", "Remove or repair those examples.")
    if labels is not None:
        if labels.dtype.kind not in "ui" or labels.shape != (len(values),):
            raise InvalidData(
                f"{len(values)} examples, but labels are {labels.dtype} of shape {labels.shape}"
            )
        if labels.min() < 0 or labels.max() >= MOST_LABELS:
            raise InvalidData(f"labels must lie in 0..{MOST_LABELS - 1}, got {labels.min()}..{labels.max()}")
        labels = labels.astype(np.int64)
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return Source(native, labels, source.names)

"""Examples as they lie in somebody's files, read into arrays: what readers of all kinds give, checked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData

Values: TypeAlias = npt.NDArray[Any]
Labels: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.int64]

MOST_BYTES: Final = 16 << 30  # of an array in memory
MOST_LABELS: Final = 100_000
_WIDEST_BYTES: Final = 8  # of a number
_INSIDE: Final = (0, 1, 255)  # the largest number of masks that are empty, of 0 and 1, or pictures
_FIELDS_NDIM: Final = 4  # (N, C, H, W)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Examples as they lie there: values (N, ...) and labels (N,) from 0, or none.

    `targets` are what a model should answer where that is no label, once checked: masks (N, H, W) uint8 of 0
    and 1, or fields (N, C, H, W) float32. Readers give fields in a floating-point type, masks in another.
    `names` are those of the labels, where the data name them, and `files` those of the examples, where each
    has one of its own. Neither ever leaves the owner.
    """

    values: Values
    labels: Labels | None
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    targets: Values | None = None

    def rows(self, rows: Rows) -> "Source":
        """Return some of the examples."""
        labels = None if self.labels is None else self.labels[rows]
        files = tuple(self.files[row] for row in rows) if self.files else ()
        targets = None if self.targets is None else self.targets[rows]
        return Source(self.values[rows], labels, self.names, files, targets)


Each: TypeAlias = Callable[[Values], Values] | None
"""What to do with each image before they are put together, so that they have one size."""


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
    targets = None if source.targets is None else _checked_targets(source.targets, native)
    return replace(source, values=native, labels=labels, targets=targets)


def _checked_targets(targets: Values, values: Values) -> Values:
    return _fields(targets, values) if targets.dtype.kind == "f" else _masks(targets, values)


def _masks(masks: Values, values: Values) -> Values:
    """Return masks of 0 and 1. Raises `InvalidData` for what is none, or of another size than the images."""
    wanted = (len(values), *values.shape[-2:])
    if masks.dtype.kind not in "uib" or values.ndim not in (3, 4) or masks.shape != wanted:
        raise InvalidData(
            f"examples are of shape {values.shape}, but masks are {masks.dtype} of shape {masks.shape}",
            "Save one mask (height, width) of whole numbers for each image, as large as the image.",
        )
    inside = masks != 0
    if masks.max() not in _INSIDE or (masks[inside] != masks.max()).any():
        raise InvalidData(
            "masks hold other numbers than 0 (outside), and 1 or 255 (inside)",
            "Save one class as a mask: numpy.savez(…, masks=classes == 1).",
        )
    return np.asarray(inside.astype(np.uint8))


def _fields(fields: Values, values: Values) -> Values:
    """Return fields as float32. Raises `InvalidData` for what is none, or not finite."""
    if fields.ndim != _FIELDS_NDIM or len(fields) != len(values):
        raise InvalidData(
            f"{len(values)} examples, but fields are of shape {fields.shape}",
            "Save one field (channels, height, width) of floating-point numbers for each example.",
        )
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(fields, np.float32)
    if not np.isfinite(found).all():
        raise InvalidData("some fields are infinite or NaN", "Remove or repair those examples.")
    return found

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


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Examples as they lie there: values (N, ...) and labels (N,) from 0, or none.

    `names` are those of the labels, where the data name them, and `files` those of the examples, where each
    has one of its own. Neither ever leaves the owner.
    """

    values: Values
    labels: Labels | None
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def rows(self, rows: Rows) -> "Source":
        """Return some of the examples."""
        labels = None if self.labels is None else self.labels[rows]
        files = tuple(self.files[row] for row in rows) if self.files else ()
        return Source(self.values[rows], labels, self.names, files)


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
    return replace(source, values=native, labels=labels)

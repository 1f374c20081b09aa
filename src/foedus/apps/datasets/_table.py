"""A CSV file of numbers."""

import csv
import io
from array import array
from collections.abc import Sequence
from typing import Final, TextIO

import numpy as np

from foedus.apps.datasets._labels import numbered
from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import MOST_LABELS, Each, Labels, Source
from foedus.core.errors import InvalidData

_LABEL: Final = "label"
_MOST_BYTES: Final = 1 << 30
_HINT: Final = "One header line, then numbers separated by commas; the class in a column `label`."


def pick(listing: Listing) -> Sequence[str]:
    """Return the one file."""
    found = [name for name in listing.names if name.lower().endswith(".csv")]
    if not found:
        raise InvalidData("there is no CSV file: none whose name ends in .csv", _HINT)
    if len(found) > 1:
        raise InvalidData(f"there are {len(found):,} CSV files, not one", "Name the file itself.")
    return found


def read(listing: Listing, each: Each) -> Source:
    """Read the columns of numbers as float32 (N, columns), and the labels."""
    name = listing.names[0]
    if listing.sizes[0] > _MOST_BYTES:
        raise InvalidData(f"{name} is larger than {_MOST_BYTES:,} bytes", "Save it as .npz.")
    with io.TextIOWrapper(listing.open(name), encoding="utf-8-sig", newline="") as file:
        try:
            return _read(file, name)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidData(f"{name} is no usable CSV file: {error}", _HINT) from error


def _read(file: TextIO, name: str) -> Source:
    """Read row by row: as texts, the rows would take many times the memory of their numbers."""
    lines = csv.reader(file, strict=True)
    columns = [column.strip() for column in next(lines, [])]
    if len(set(columns)) < len(columns):
        raise InvalidData(f"two columns of {name} have the same name", _HINT)
    place = columns.index(_LABEL) if _LABEL in columns else None
    values, labels = array("f"), _Labels()
    for row in lines:
        if not row:
            continue
        if len(row) != len(columns):
            raise InvalidData(
                f"line {lines.line_num} has {len(row)} columns, the header {len(columns)}", _HINT
            )
        if place is not None:
            label = row.pop(place).strip()
            if not label:
                raise InvalidData(f"line {lines.line_num} has no label", _HINT)
            labels.add(label)
        try:
            values.extend(map(float, row))
        except ValueError as error:
            raise InvalidData(f"line {lines.line_num} holds something that is no number", _HINT) from error
    width = len(columns) - (place is not None)
    if not values:
        raise InvalidData(f"{name} has no rows of numbers below its header", _HINT)
    numbers = np.frombuffer(values, np.float32).reshape(-1, width)
    return Source(numbers, None) if place is None else Source(numbers, *labels.numbered())


class _Labels:
    """The labels of all rows; each text is kept once."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._rows = array("l")

    def add(self, text: str) -> None:
        """Add a row's label."""
        self._rows.append(self._texts.setdefault(text, len(self._texts)))
        if len(self._texts) > MOST_LABELS:
            raise InvalidData(f"there are more than {MOST_LABELS:,} different labels", _HINT)

    def numbered(self) -> tuple[Labels, tuple[str, ...]]:
        """Return the number of each row, and the names of the classes."""
        numbers, names = numbered(self._texts)
        by_text = np.array([numbers[text] for text in self._texts], np.int64)
        return by_text[np.frombuffer(self._rows, np.dtype("l"))], names

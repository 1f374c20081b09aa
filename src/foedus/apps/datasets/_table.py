"""A CSV file of numbers."""

import csv
import io
from collections.abc import Sequence
from typing import Final

import numpy as np

from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.sources import Each, Source
from foedus.core.errors import InvalidData

_LABEL: Final = "label"
_MOST_BYTES: Final = 1 << 30
_HINT: Final = "One header line, then numbers separated by commas; the class in a column `label`."


def pick(listing: Listing) -> Sequence[str]:
    """Return the one file."""
    found = [name for name in listing.names if name.lower().endswith(".csv")]
    if len(found) != 1:
        raise InvalidData(f"there are {len(found)} CSV files, not one", "Name the file itself.")
    return found


def read(listing: Listing, each: Each) -> Source:
    """Read the columns of numbers as float32 (N, columns), and the labels."""
    name = listing.names[0]
    if listing.sizes[0] > _MOST_BYTES:
        raise InvalidData(f"{name} is larger than {_MOST_BYTES:,} bytes", "Save it as .npz.")
    with listing.open(name) as file:
        try:
            lines = list(csv.reader(io.StringIO(file.read().decode("utf-8-sig")), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidData(f"{name} is no usable CSV file: {error}", _HINT) from error
    if len(lines) < 2 or not lines[0]:
        raise InvalidData(f"{name} has no rows below its header", _HINT)
    columns = [column.strip() for column in lines[0]]
    rows = [row for row in lines[1:] if row]
    place = columns.index(_LABEL) if _LABEL in columns else None
    values = np.array([_numbers(row, len(columns), place, number) for number, row in enumerate(rows, 2)])
    if place is None:
        return Source(values.astype(np.float32), None)
    return _labelled(values.astype(np.float32), [row[place].strip() for row in rows])


def _numbers(row: Sequence[str], width: int, label: int | None, line: int) -> list[float]:
    if len(row) != width:
        raise InvalidData(f"line {line} has {len(row)} columns, the header {width}", _HINT)
    try:
        return [float(text) for column, text in enumerate(row) if column != label]
    except ValueError as error:
        raise InvalidData(f"line {line} holds something that is no number", _HINT) from error


def _labelled(values: np.ndarray, texts: Sequence[str]) -> Source:
    """Take labels that are whole numbers as they are; number others in alphabetical order."""
    if all(text.isascii() and text.isdigit() and len(text) < 6 for text in texts):
        return Source(values, np.array([int(text) for text in texts]))
    names = sorted(set(texts))
    numbers = {text: number for number, text in enumerate(names)}
    return Source(values, np.array([numbers[text] for text in texts]), tuple(names))

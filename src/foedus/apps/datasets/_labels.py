"""Classes that are told by text: the column `label` of a table, and folders of pictures."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from foedus.apps.datasets.source import MOST_LABELS
from foedus.core.errors import InvalidData

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_HINT: Final = "Give each class a whole number, or each of them a name."


def numbered(texts: Collection[str]) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Return the number of each class, and the names of the classes by number; none where all are numbers.

    Numbers are kept, so 0, 6 and 9 are no 0, 1 and 2; names are numbered in alphabetical order. Raises
    `InvalidData`, without the texts, for what would have to be guessed: numbers among names, fractions,
    negative and enormous numbers.
    """
    numbers = [text for text in texts if _NUMBER.fullmatch(text)]
    if not numbers:
        names = tuple(sorted(texts))
        return {name: number for number, name in enumerate(names)}, names
    if len(numbers) < len(texts):
        raise InvalidData("some labels are numbers, others are names", _HINT)
    found = {text: float(text) for text in numbers}
    if not all(value.is_integer() and 0 <= value < MOST_LABELS for value in found.values()):
        raise InvalidData(f"some labels are numbers, but no whole numbers from 0 to {MOST_LABELS - 1}", _HINT)
    return {text: int(value) for text, value in found.items()}, ()

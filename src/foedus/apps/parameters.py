"""What an application can be told: named parameters with types and ranges, checked before anything runs."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import hint_for

Value: TypeAlias = bool | int | float | str | None
"""A checked value. None: not given, and the parameter may be left out."""

REQUIRED: Final = object()
"""The `default` of a parameter that must be given."""

NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,31}", re.ASCII)
DATASET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}", re.ASCII)
_CID: Final = re.compile(r"baf[a-z2-7]{56}", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_LONGEST_TEXT: Final = 1000
_SHOWN: Final = 60  # characters of a value that an error repeats


class Kind(StrEnum):
    """The type of a parameter. `DATASET` is the name of a private dataset, `CID` an object of the store."""

    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    TEXT = "text"
    CHOICE = "choice"
    DATASET = "dataset"
    CID = "cid"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `minimum` and `maximum` bound numbers and are allowed themselves."""

    name: str
    kind: Kind
    help: str
    default: object = REQUIRED
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def range_text(self) -> str:
        """What is valid, in words: `0 to 1`, `a or b`, `true or false`."""
        low, high = self.minimum, self.maximum
        match self.kind:
            case Kind.CHOICE:
                return " or ".join(self.choices)
            case Kind.BOOLEAN:
                return "true or false"
            case Kind.DATASET:
                return "name of a private dataset"
            case Kind.CID:
                return "content id"
            case Kind.TEXT:
                return f"up to {_LONGEST_TEXT} characters"
        if high == math.inf:
            return "any number" if low == -math.inf else f"at least {_number(low)}"
        return f"{_number(low)} to {_number(high)}" if low > -math.inf else f"at most {_number(high)}"

    def check(self, value: object) -> Value:
        """Return the value in its type; texts of a command line are read. Raises `InvalidSpec`."""
        if value is None and self.default is None:
            return None
        match self.kind:
            case Kind.INTEGER | Kind.REAL:
                return self._number(value)
            case Kind.BOOLEAN:
                return self._boolean(value)
            case Kind.CHOICE:
                if value not in self.choices:
                    raise self._wrong(value, "one of its choices", hint_for(str(value), self.choices))
                return str(value)
            case Kind.TEXT:
                return self._text(value)
            case Kind.DATASET:
                return self._matching(value, DATASET_NAME, "the name of a dataset (a-z, 0-9, - and _)")
            case Kind.CID:
                return self._matching(value, _CID, "a content id (bafkrei… or bafybei…)")

    def _number(self, value: object) -> int | float:
        is_whole = self.kind is Kind.INTEGER
        number = _whole(value) if is_whole else _real(value)
        if number is None:
            raise self._wrong(value, "a whole number" if is_whole else "a number")
        if not self.minimum <= number <= self.maximum:
            raise self._wrong(value, f"in its range: {self.range_text}{self.unit and f' ({self.unit})'}")
        return number

    def _boolean(self, value: object) -> bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise self._wrong(value, "true or false")
        return value

    def _text(self, value: object) -> str:
        # a program would take a text that begins with a hyphen for an option
        if not isinstance(value, str) or value.startswith("-") or not value.isprintable():
            raise self._wrong(
                value, "a text without control characters and without a hyphen at its beginning"
            )
        if len(value) > _LONGEST_TEXT:
            raise self._wrong(value, self.range_text)
        return value

    def _matching(self, value: object, pattern: re.Pattern[str], what: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._wrong(value, what)
        return value

    def _wrong(self, value: object, wanted: str, hint: str = "") -> InvalidSpec:
        shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
        return InvalidSpec(f"{self.name} must be {wanted}, got {shown}", hint or self.help)


def check_parameters(
    owner: str, parameters: Sequence[Parameter], given: Mapping[str, object]
) -> dict[str, Value]:
    """Return the values of all parameters, defaults filled in.

    Raises `InvalidSpec` for the first unknown name, missing value or value that its parameter does not take.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise InvalidSpec(f"{owner} has no parameter {name[:_SHOWN]!r}", hint_for(name, known))
    missing = [p.name for p in parameters if p.is_required and p.name not in given]
    if missing:
        example = f"{missing[0]}={known[missing[0]].choices[0] if known[missing[0]].choices else '…'}"
        raise InvalidSpec(f"{owner} needs {', '.join(missing)}", f"Give it with -p {example}.")
    return {name: p.check(given.get(name, p.default)) for name, p in known.items()}


def _whole(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"

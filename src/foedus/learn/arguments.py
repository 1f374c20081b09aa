"""Arguments that people give by name to models, algorithms and partitions, checked in one way."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from foedus.core.errors import InvalidSpec

Argument: TypeAlias = bool | int | float | str | Sequence[int] | Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument: its type is that of `default`; a number lies in [low, high], a text among `choices`."""

    name: str
    default: Argument
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def range_text(self) -> str:
        """What is valid, in words: `0 to 1`, `half or paper`, `true or false`."""
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if not isinstance(self.default, (int, float)):
            return "-"
        if self.high == math.inf:
            return "any number" if self.low == -math.inf else f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}" if self.low > -math.inf else f"at most {self.high:g}"


def check_arguments(
    owner: str, parameters: Sequence[Parameter], given: Mapping[str, Argument]
) -> dict[str, Argument]:
    """Return all arguments, defaults filled in.

    Raises `InvalidSpec` naming the owner, the argument and what would be valid.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise InvalidSpec(f"{owner} has no argument {name!r}", hint_for(name, known))
    return {name: _checked(owner, p, given.get(name, p.default)) for name, p in known.items()}


def hint_for(word: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, or list them all."""
    names = sorted(valid)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Valid here: {', '.join(names)}." if names else "It takes no arguments."


def _checked(owner: str, parameter: Parameter, value: Argument) -> Argument:
    if isinstance(parameter.default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    kind = (list, tuple) if isinstance(parameter.default, (list, tuple)) else type(parameter.default)
    has_kind = isinstance(value, kind) and isinstance(value, bool) == isinstance(parameter.default, bool)
    if not has_kind:
        wanted = type(parameter.default).__name__
        raise InvalidSpec(f"{owner}: {parameter.name} must be of type {wanted}, got {value!r}")
    if parameter.choices and value not in parameter.choices:
        hint = hint_for(str(value), parameter.choices)
        raise InvalidSpec(f"{owner}: {parameter.name} cannot be {value!r}", hint)
    if isinstance(value, (int, float)) and not parameter.low <= value <= parameter.high:
        limits = f"between {parameter.low:g} and {parameter.high:g}"
        raise InvalidSpec(f"{owner}: {parameter.name} must lie {limits}, got {value!r}")
    return value

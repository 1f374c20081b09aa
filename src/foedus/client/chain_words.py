"""Says in words what events and transactions of the contract carry as numbers and addresses."""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from foedus.client.output import short
from foedus.core.records import SCORE_SCALE, WAD, Choice, Event, GateMode, Phase, Role

_NUMBERED: Final[dict[str, type[IntEnum]]] = {
    "choice": Choice,
    "outcome": Phase,
    "role": Role,
    "gate_mode": GateMode,
}
_LONG: Final = re.compile(r"0x[0-9a-fA-F]{40,64}|baf[a-z2-7]{56}")


def member_names(events: Iterable[Event]) -> Mapping[str, str]:
    """Return what members are called, by address."""
    return {str(e.args["account"]): str(e.args["name"]) for e in events if e.name == "MemberSet"}


def brief(args: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Say all arguments in one line: members by name, numbers in words, CIDs and hashes shortened."""
    return ", ".join(f"{key} {_brief_value(key, value, names)}" for key, value in args.items())


def full(key: str, value: object, names: Mapping[str, str]) -> str:
    """Say one argument completely, in words where there are some."""
    text = _text(value)
    words = names.get(text) or _words(key, value)
    return f"{words} ({text})" if words else text


def _brief_value(key: str, value: object, names: Mapping[str, str]) -> str:
    text = _text(value)
    return names.get(text) or _words(key, value) or (short(text) if _LONG.fullmatch(text) else text or "''")


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _words(key: str, value: object) -> str:
    """Say what a number of the contract means; an empty text where it means itself."""
    if not isinstance(value, int):
        return ""
    if key in _NUMBERED:
        kind = _NUMBERED[key]
        return kind(value).name.lower() if value in list(kind) else ""
    if key.endswith("_ppb"):
        return f"{value / SCORE_SCALE:.4f}"
    return f"{value / WAD:.4f}" if key in ("reward", "amount") else ""

"""Says in words what events and transactions of the contract carry as numbers and addresses."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from foedus.client.output import short
from foedus.core.records import Event
from foedus.site.chain_words import text_of, words_of

_LONG: Final = re.compile(r"0x[0-9a-fA-F]{40,64}|baf[a-z2-7]{56}")


def member_names(events: Iterable[Event]) -> Mapping[str, str]:
    """Return what members are called, by address."""
    return {str(e.args["account"]): str(e.args["name"]) for e in events if e.name == "MemberSet"}


def brief(args: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Say all arguments in one line: members by name, numbers in words, CIDs and hashes shortened."""
    return ", ".join(f"{key} {_brief_value(key, value, names)}" for key, value in args.items())


def full(key: str, value: object, names: Mapping[str, str]) -> str:
    """Say one argument completely, in words where there are some."""
    text = text_of(value)
    words = names.get(text) or words_of(key, value)
    return f"{words} ({text})" if words else text


def _brief_value(key: str, value: object, names: Mapping[str, str]) -> str:
    text = text_of(value)
    return names.get(text) or words_of(key, value) or (short(text) if _LONG.fullmatch(text) else text or "''")

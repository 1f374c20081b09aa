"""Reading what an API server sent: any part may be missing, of another type, or hostile text."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from foedus.launch._failure import printable

Object: TypeAlias = Mapping[str, object]
_TEXT_LIMIT = 1000  # characters of one text
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z", re.ASCII)


def part(value: object, *path: str) -> object:
    """Return what is at the path, None when there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: object, *path: str) -> str:
    """Return the text there in one printable line of bounded length; empty when there is none."""
    found = part(value, *path)
    line = printable(found[:_TEXT_LIMIT]) if isinstance(found, str) else ""
    return " ".join(line.split()) if "\n" in line or "\t" in line else line


def lines(value: object, *path: str) -> str:
    """Return the text there, printable, its end rather than its beginning, line breaks kept."""
    found = part(value, *path)
    return printable(found[-_TEXT_LIMIT:]) if isinstance(found, str) else ""


def number(value: object, *path: str) -> int:
    """Return the integer there, 0 when there is none of 64 bits, which all of Kubernetes' own are."""
    found = part(value, *path)
    return found if type(found) is int and -(1 << 63) <= found < 1 << 63 else 0


def each(value: object, *path: str) -> Iterator[Object]:
    """Yield the objects of the list there."""
    found = part(value, *path)
    for item in found if isinstance(found, list) else ():
        if isinstance(item, Mapping):
            yield item


def time_of(value: object, *path: str) -> float | None:
    """Return the moment there in seconds since the epoch, None when there is none."""
    found = part(value, *path)
    if not isinstance(found, str) or not _TIME.fullmatch(found):
        return None
    try:
        return datetime.fromisoformat(found[:19] + "+00:00").timestamp()
    except ValueError:  # such as a 31st of February
        return None

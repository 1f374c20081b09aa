"""What is shown of an operation, and the values that many examples share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from foedus.core.canonical import Json

AT: Final = "2026-03-02T09:14:05Z"
LATER: Final = "2026-03-02T10:02:41Z"
EXPIRES: Final = "2026-05-31T09:14:05Z"
TIME: Final = 1772442845
MODEL: Final = "bafkreiaqzzffym7n4jroe5vjcjpm3rf6rdanv7463dyu7dvfg4tzjd57pi"
BASE: Final = "bafkreigg4v6cczihnqrdvw4zbobbgkfiixiy6zhtg3ridvry2xvgsiegam"
WEIGHTS: Final = "bafkreignmb2pgbe7flsd4wvuawkwglnlh2c4hgbcvfjzpq3zcsuut6ljte"
UPDATE: Final = "bafkreihjsnil6ihadwwupgmniclyslny6dqgehqn7uzepcuhjstm7o3td4"
TX: Final = "0x1c34e65ae6ef1479a9facc3ab441dd62280ecbc8a36f25b1da7165de8571bf5e"
BLOCK: Final = "0x07c45988ec4a02e509b1fe47feb97cc526ad23a1ca7a425d93a63beaa21ec76c"
ADDRESS: Final = "0x7b0c986aA271642980b2a3eab1843e2326c0A78b"
PNG: Final = "image/png"
BYTES: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Listed:
    """How a list is sorted at first, by which keys it can be, and which filters it has.

    A filter without choices takes values that depend on what there is.
    """

    sort: str
    sorts: Sequence[str]
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """What a call sends and gets: an answer, or a `file` of that media type; nothing if both are missing."""

    answer: Json = None
    body: Json = None
    listed: Listed | None = None
    file: str = ""


def listed(item: Mapping[str, Json], sort: str, sorts: str, **filters: str) -> Example:
    """Return the example of a list with one item; `sorts` and the choices of filters are words in a text."""
    choices = {key: tuple(words.split()) for key, words in filters.items()}
    answer: dict[str, Json] = {"items": [dict(item)], "total": 1, "next": None}
    return Example(answer, listed=Listed(sort, tuple(sorts.split()), choices))

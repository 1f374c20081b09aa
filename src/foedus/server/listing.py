"""Lists: filtered, sorted and paged by the URL, for pages, JSON and CSV alike.

Pages are found by key, not by number: the next page starts after the last row of this one, however many rows
came in between.
"""

import base64
import csv
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlencode

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    SQLColumnExpression,
    String,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.errors import Invalid

Kind: TypeAlias = Literal[
    "text", "number", "score", "time", "id", "state", "bytes", "points", "share", "curve"
]
"""How a value is shown."""

SIZES: Final = (25, 50, 100)
MOST_EXPORTED: Final = 100_000
MOST_COUNTED: Final = 10_000
"""Rows that are counted: of a longer list nobody needs the exact length, which every page would wait for."""
_LONGEST_WORDS: Final = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list. `key` names it in URLs and JSON; `value` is the expression behind it.

    `link` is a pattern such as `/runs/{name}` over the row's keys. A hidden column is in the data, for links,
    but has no place in the table.
    """

    key: str
    title: str
    value: SQLColumnExpression[Any]
    kind: Kind = "text"
    link: str = ""
    is_sortable: bool = True
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A choice by which a list can be narrowed: the column's value must be the one that is chosen."""

    key: str
    title: str
    value: SQLColumnExpression[Any]
    choices: Sequence[str]


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is to list: its columns, its rows, and how they are narrowed.

    `rows` selects nothing yet, for example `select().select_from(Run).where(…)`, with the actor's own limits
    in it. `tie` orders rows that are equal otherwise; it must be unique.
    """

    title: str
    columns: Sequence[Column]
    rows: Select[Any]
    tie: SQLColumnExpression[Any]
    sort: str  # key of the column to sort by at first, with `-` for falling
    search: Sequence[SQLColumnExpression[Any]] = ()
    filters: Sequence[Filter] = ()
    tick: str = (
        ""  # key of the column by which rows can be ticked; the page has the form `ticked` that sends them
    )
    empty: str = "Nothing here yet."  # said where there is no row at all: what to do about it

    def column(self, key: str) -> Column | None:
        """Return the column of this key."""
        return next((column for column in self.columns if column.key == key), None)


def fault_of_words(words: str) -> str:
    """Say what is wrong with words that are looked for; empty where nothing is."""
    if "\0" in words:
        return "must have no character 0"
    return f"must have at most {_LONGEST_WORDS} characters" if len(words) > _LONGEST_WORDS else ""


@dataclass(frozen=True, slots=True)
class Query:
    """What the URL asks for."""

    words: str = ""
    sort: str = ""
    after: str = ""
    size: int = SIZES[0]
    chosen: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, str], listing: Listing) -> "Query":
        """Read the URL's parameters. Raises `Invalid` for those that make no sense here."""
        faults = {}
        sort = parameters.get("sort") or listing.sort
        column = listing.column(sort.removeprefix("-"))
        if column is None or not column.is_sortable:
            keys = ", ".join(c.key for c in listing.columns if c.is_sortable)
            faults["sort"] = f"must be one of {keys}, with - before it for falling order"
        text = parameters.get("size") or str(SIZES[0])
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= size <= SIZES[-1]:
            faults["size"] = f"must be from 1 to {SIZES[-1]}"
        words = (parameters.get("q") or "").strip()
        if fault := fault_of_words(words):
            faults["q"] = fault
        chosen = {}
        for one in listing.filters:
            value = parameters.get(one.key) or ""
            if value and value not in one.choices:
                faults[one.key] = f"must be one of {', '.join(one.choices)}"
            elif value:
                chosen[one.key] = value
        if faults:
            raise Invalid(faults)
        return cls(words, sort, parameters.get("after") or "", size, chosen)

    def url(self, **changes: str | int) -> str:
        """Return the query string for this list with some parameters changed; paging starts again."""
        values: dict[str, str | int] = {"q": self.words, "sort": self.sort, "size": self.size, **self.chosen}
        values.update(changes)
        return "?" + urlencode({key: value for key, value in values.items() if value not in ("", None)})


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a list. A `total` above `MOST_COUNTED` says only that there are more."""

    listing: Listing
    query: Query
    rows: Sequence[Mapping[str, Any]]
    total: int
    next: str  # the `after` of the next page; empty on the last

    @property
    def length(self) -> str:
        """Say how many rows there are on all pages."""
        if self.total > MOST_COUNTED:
            return f"more than {MOST_COUNTED:,} entries"
        return f"{self.total:,} {'entry' if self.total == 1 else 'entries'}"

    def to_json(self) -> dict[str, Json]:
        """Return the page as the API gives it; `next` is null on the last one."""
        return {
            "items": [{key: plain(value) for key, value in row.items()} for row in self.rows],
            "total": self.total,
            "next": self.next or None,
        }


def find(db: Session, listing: Listing, query: Query) -> Found:
    """Return one page of a list. Raises `Invalid` for an `after` that none of its pages gave."""
    narrowed = _narrowed(listing, query)
    counted = narrowed.add_columns(literal(1)).limit(MOST_COUNTED + 1).subquery()
    total = db.scalar(select(func.count()).select_from(counted)) or 0
    sorted_by = listing.column(query.sort.removeprefix("-"))
    assert sorted_by is not None, "Query.of checked it"
    is_falling = query.sort.startswith("-")
    chosen = _selected(narrowed, listing, sorted_by, is_falling)
    if query.after:
        chosen = chosen.where(_after(query.after, sorted_by.value, listing.tie, is_falling))
    found = _fetch(db, chosen.limit(query.size + 1), is_marked=bool(query.after))
    rows = [_as_mapping(row) for row in found[: query.size]]
    after = _mark(found[query.size - 1]) if len(found) > query.size else ""
    return Found(listing, query, rows, total, after)


def _fetch(db: Session, chosen: Select[Any], is_marked: bool) -> Sequence[Row[Any]]:
    try:
        return db.execute(chosen).all()
    except (StatementError, OverflowError, UnicodeError) as error:
        # a mark of somebody's own making can hold values that the columns cannot be compared with
        if not is_marked or isinstance(error, OperationalError):
            raise
        raise Invalid({"after": "must be what `next` said"}) from error


def export(db: Session, listing: Listing, query: Query) -> list[Mapping[str, Any]]:
    """Return all rows of a list, as narrowed and sorted by the query, up to `MOST_EXPORTED`."""
    sorted_by = listing.column(query.sort.removeprefix("-"))
    assert sorted_by is not None, "Query.of checked it"
    chosen = _selected(_narrowed(listing, query), listing, sorted_by, query.sort.startswith("-"))
    return [_as_mapping(row) for row in db.execute(chosen.limit(MOST_EXPORTED)).all()]


def as_csv(listing: Listing, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as CSV with the columns' keys on top. Cells that a spreadsheet would run get a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    keys = [column.key for column in listing.columns if not column.is_hidden]
    writer.writerow(keys)
    writer.writerows([_harmless(plain(row[key])) for key in keys] for row in rows)
    return out.getvalue()


def plain(value: Any) -> Json:  # noqa: ANN401 - whatever a column holds
    """Return a value as JSON has it: moments as ISO 8601 in UTC."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):  # PostgreSQL's sums
        return int(value) if value == value.to_integral_value() else float(value)
    result: Json = value
    return result


def _harmless(value: Json) -> Json:
    if isinstance(value, dict):
        return json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _narrowed(listing: Listing, query: Query) -> Select[Any]:
    rows = listing.rows
    for one in listing.filters:
        if one.key in query.chosen:
            rows = rows.where(cast(one.value, String) == query.chosen[one.key])
    if query.words and listing.search:
        pattern = "%" + query.words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = rows.where(or_(*(cast(c, String).ilike(pattern, escape="\\") for c in listing.search)))
    return rows


def _selected(rows: Select[Any], listing: Listing, sorted_by: Column, is_falling: bool) -> Select[Any]:
    columns: list[Any] = [column.value.label(column.key) for column in listing.columns]
    keys: list[Any] = [sorted_by.value.label("_sorted"), listing.tie.label("_tie")]
    # nulls sort differently in SQLite and PostgreSQL: say where they go, but only where there can be any,
    # for no index knows that order
    by = [sorted_by.value.is_(None)] if _may_be_null(sorted_by.value) else []
    order = [key.desc() if is_falling else key.asc() for key in (*by, sorted_by.value)]
    tie = listing.tie.desc() if is_falling else listing.tie.asc()
    return rows.add_columns(*columns, *keys).order_by(*order, tie)


def _may_be_null(value: SQLColumnExpression[Any]) -> bool:
    return bool(getattr(value, "nullable", True))


def _as_mapping(row: Row[Any]) -> Mapping[str, Any]:
    return {key: value for key, value in row._mapping.items() if key not in ("_sorted", "_tie")}


def _mark(row: Row[Any]) -> str:
    """Return where the next page starts."""
    last = row._mapping["_sorted"]
    is_time = isinstance(last, datetime.datetime)
    text = json.dumps([last.isoformat() if is_time else plain(last), is_time, row._mapping["_tie"]])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(
    mark: str, sorted_by: SQLColumnExpression[Any], tie: SQLColumnExpression[Any], is_falling: bool
) -> ColumnElement[bool]:
    try:
        padded = mark + "=" * (-len(mark) % 4)
        last, is_time, last_tie = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        if is_time:
            last = datetime.datetime.fromisoformat(last)
        if not isinstance(last, str | int | float | None | datetime.datetime) or not isinstance(
            last_tie, str | int
        ):
            raise TypeError("not one of our marks")
    except (ValueError, TypeError) as error:
        raise Invalid({"after": "must be what `next` said"}) from error
    further_tie = tie < _bound(last_tie, tie) if is_falling else tie > _bound(last_tie, tie)
    if last is None:  # nulls come last when rising, first when falling
        in_nulls = sorted_by.is_(None) & further_tie
        return in_nulls | sorted_by.is_not(None) if is_falling else in_nulls
    value = _bound(last, sorted_by)
    further = sorted_by < value if is_falling else sorted_by > value
    if not is_falling and _may_be_null(sorted_by):
        further |= sorted_by.is_(None)
    return or_(further, (sorted_by == value) & further_tie)


def _bound(value: Any, column: SQLColumnExpression[Any]) -> ColumnElement[Any]:  # noqa: ANN401
    """Return a value to compare a column with; SQLAlchemy would take a bare True for a keyword."""
    return literal(value, getattr(column, "type", None))

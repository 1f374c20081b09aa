"""Lists: every row once, whatever is sorted by; hostile parameters and cells do no harm."""

import base64
import csv
import datetime
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from tests.server.people import Person

from foedus.server.auth.actors import NOBODY
from foedus.server.db import AuditEntry, User
from foedus.server.errors import Invalid
from foedus.server.listing import Column, Filter, Found, Listing, Query, as_csv, export, find
from foedus.server.platform import Platform

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LISTING = Listing(
    "Things",
    (
        Column("number", "Number", AuditEntry.project_id, "number"),
        Column("text", "Text", AuditEntry.details),
        Column("at", "At", AuditEntry.at, "time"),
        Column("hidden", "Hidden", AuditEntry.id, is_sortable=False, is_hidden=True),
        Column("is_big", "Big", AuditEntry.project_id > 1),
        Column("ratio", "Ratio", AuditEntry.project_id / 3.0, "score"),
    ),
    select().select_from(AuditEntry),
    AuditEntry.id,
    "number",
    search=(AuditEntry.details,),
    filters=(Filter("kind", "Kind", AuditEntry.action, ("a", "b")),),
)
SORTS = [f"{sign}{column.key}" for column in LISTING.columns if column.is_sortable for sign in ("", "-")]

# few values, so that many are equal
ROW = st.tuples(
    st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([2**31 - 1, -(2**31)])),
    st.sampled_from(["", "a", "A", "ä", "b b", "%", "_", "\\", "'", "=1+1", "z" * 50]),
    st.sampled_from([0, 1, 60, 0.000001]),
    st.sampled_from(["a", "b"]),
)


def fill(platform: Platform, rows: list[tuple[int | None, str, float, str]]) -> None:
    with platform.writing() as db:
        db.execute(delete(AuditEntry))
        for number, text, seconds, kind in rows:
            at = START + datetime.timedelta(seconds=seconds)
            db.add(AuditEntry(actor="x", action=kind, what="", project_id=number, details=text, at=at))


def pages(platform: Platform, parameters: dict[str, str]) -> Iterator[Found]:
    after = ""
    while True:
        with platform.reading() as db:
            found = find(db, LISTING, Query.of({**parameters, "after": after}, LISTING))
        yield found
        after = found.next
        if not after:
            return


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(ROW, max_size=12),
    sort=st.sampled_from(SORTS),
    size=st.integers(1, 5),
    kind=st.sampled_from(["", "a"]),
)
def test_walking_the_pages_gives_each_row_once_and_in_order(
    platform: Platform,
    rows: list[tuple[int | None, str, float, str]],
    sort: str,
    size: int,
    kind: str,
) -> None:
    fill(platform, rows)
    parameters = {"sort": sort, "size": str(size), "kind": kind}
    walked = list(pages(platform, parameters))
    found = [row for one in walked for row in one.rows]
    wanted = [row for row in rows if not kind or row[3] == kind]
    ids = [row["hidden"] for row in found]
    assert len(ids) == len(set(ids)) == len(wanted)
    assert {one.total for one in walked} == {len(wanted)}
    assert all(len(one.rows) == size for one in walked[:-1])
    with platform.reading() as db:
        assert [row["hidden"] for row in export(db, LISTING, Query.of(parameters, LISTING))] == ids
    key = sort.lstrip("-")
    values = [row[key] for row in found]
    if key != "text":  # the order of texts is the database's
        ranked = [(value is None, value) if value is not None else (True, 0) for value in values]
        assert ranked == sorted(ranked, reverse=sort.startswith("-"))


def test_rows_that_come_in_between_neither_repeat_nor_hide_others(platform: Platform) -> None:
    fill(platform, [(n, "", 0, "a") for n in range(6)])
    walk = pages(platform, {"size": "2", "sort": "number"})
    seen = [row["number"] for row in next(walk).rows]
    with platform.writing() as db:
        db.add(AuditEntry(actor="x", action="a", what="", project_id=-5, details=""))
    seen += [row["number"] for found in walk for row in found.rows]
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("words", "found"),
    [("A", 3), ("%", 1), ("_", 1), ("\\", 1), ("'", 1), ("b b", 1), ("' OR 1=1 --", 0), (" ", 7)],
)
def test_words_are_looked_for_as_they_stand(words: str, found: int, platform: Platform) -> None:
    texts = ["a", "A", "xa%", "_", "\\", "'", "b b"]
    fill(platform, [(1, text, 0, "a") for text in texts])
    with platform.reading() as db:
        assert find(db, LISTING, Query.of({"q": words}, LISTING)).total == found


def rows_or_faults(db: Session, query: Query) -> list[object]:
    try:
        return list(find(db, LISTING, query).rows)
    except Invalid as error:
        return list(error.fields)


def mark(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "after",
    [
        "x",
        "é",
        "=",
        mark(),
        mark(1, False),
        mark([], False, 1),
        mark(1, False, {}),
        mark(1, False, None),
        mark("yesterday", True, 1),
        mark("2026-01-01", True, 1),
        mark(5, True, 1),
        mark(2**70, False, 1),
        mark(1, False, 2**70),
        base64.urlsafe_b64encode(b'"\\ud800"').decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
    ],
)
@pytest.mark.parametrize("sort", ["number", "at"])
def test_a_mark_that_no_page_gave_is_refused(after: str, sort: str, platform: Platform) -> None:
    with platform.reading() as db:
        query = Query.of({"after": after, "sort": sort}, LISTING)
        assert rows_or_faults(db, query) in ([], ["after"])


@pytest.mark.parametrize("value", ["text", "a\0b", "\ud800", True, float("nan"), float("inf"), -1, 2**40])
@pytest.mark.parametrize("sort", ["number", "text", "at", "-ratio"])
def test_a_mark_of_another_kind_breaks_nothing(value: object, sort: str, platform: Platform) -> None:
    for one in (mark(value, False, 1), mark(1, False, value), mark("x", False, value)):
        with platform.reading() as db:
            query = Query.of({"after": one, "sort": sort}, LISTING)
            assert rows_or_faults(db, query) in ([], ["after"])


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"sort": "password_hash"}, "sort"),
        ({"sort": "hidden"}, "sort"),
        ({"sort": "number; DROP TABLE users"}, "sort"),
        ({"size": "0"}, "size"),
        ({"size": "101"}, "size"),
        ({"size": "-1"}, "size"),
        ({"size": "²"}, "size"),
        ({"size": "9" * 5000}, "size"),
        ({"q": "x" * 201}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"kind": "c"}, "kind"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        Query.of(parameters, LISTING)
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_table_is_run_by_a_spreadsheet(start: str, alice: Person, platform: Platform) -> None:
    title = f"{start}HYPERLINK(1)"
    fill(platform, [(-3, title, 0, "a")])
    with platform.reading() as db:
        rows = list(
            csv.reader(io.StringIO(as_csv(LISTING, export(db, LISTING, Query(sort="number"))), newline=""))
        )
    assert rows[1][1] == f"'{title}"
    assert rows[1][0] == "-3", "numbers stay numbers"


def test_pages_and_api_answer_hostile_parameters_with_422(alice: Person) -> None:
    for path in ("/projects", "/api/v1/projects"):
        for query in ("sort=x", "size=0", "after=x", "q=%00", "state=gone"):
            assert alice.program.get(f"{path}?{query}").status_code == 422, (path, query)


def test_nobody_has_no_rows(platform: Platform) -> None:
    with platform.reading() as db:
        assert db.scalars(select(User).where(User.id == NOBODY.user_id)).all() == []

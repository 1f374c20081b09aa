"""Calls of a platform's API over connections that break, and answers that are not those of Foedus."""

from collections.abc import Iterable

import httpx
import pytest

from foedus.client.remote import client as sdk
from foedus.client.remote import connection as calls
from foedus.client.remote.client import Client
from foedus.client.remote.connection import RemoteError, Unreachable


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited: nothing, but it is written down, and the clock goes on by it."""
    found: list[float] = []
    monkeypatch.setattr(calls.time, "sleep", found.append)
    monkeypatch.setattr(sdk.time, "monotonic", lambda: sum(found))
    return found


class Line:
    """A connection over which a list of answers comes, one for each call; the last one again and again."""

    def __init__(self, *answers: httpx.Response | type[httpx.TransportError]) -> None:
        self.answers, self.asked = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, httpx.Response):
            return found
        raise found("broken", request=request)

    def client(self) -> Client:
        return Client("https://foedus.example.org", "fed_a_b", transport=httpx.MockTransport(self))

    def keys(self) -> set[str]:
        return {one.headers["Idempotency-Key"] for one in self.asked}


def said(status: int, body: object) -> httpx.Response:
    return httpx.Response(status, json=body)


def refused(status: int) -> httpx.Response:
    error = {"code": "x", "message": "no", "hint": "ask", "fields": {}}
    return said(status, {"error": error})


MADE = said(201, {"slug": "lungs"})


@pytest.mark.parametrize(
    "lost",
    [[httpx.ConnectError], [httpx.ReadTimeout, httpx.RemoteProtocolError], [httpx.Response(502)]],
)
def test_a_call_whose_answer_is_lost_is_repeated_with_the_same_key(
    lost: Iterable[httpx.Response | type[httpx.TransportError]], waited: list[float]
) -> None:
    line = Line(*lost, MADE)
    assert line.client().create_project("lungs", "Lungs").slug == "lungs"
    assert len(line.asked) == len(waited) + 1 > 1
    assert len(line.keys()) == 1
    assert waited == sorted(waited)


def test_two_calls_have_two_keys() -> None:
    line = Line(MADE)
    for _ in range(2):
        line.client().create_project("lungs", "Lungs")
    assert len(line.keys()) == 2


def test_a_repeated_call_waits_while_the_first_is_under_way() -> None:
    line = Line(httpx.ReadTimeout, refused(409), MADE)
    assert line.client().create_project("lungs", "Lungs").slug == "lungs"
    assert len(line.keys()) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500])
def test_what_is_refused_is_not_repeated(status: int) -> None:
    line = Line(refused(status))
    with pytest.raises(RemoteError) as error:
        line.client().create_project("lungs", "Lungs")
    assert error.value.status == status
    assert len(line.asked) == 1
    assert (error.value.hint == "ask") is (status != 401)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        said(200, [1]),
        httpx.Response(302, headers={"location": "https://elsewhere.example.org"}),
        httpx.Response(404, text="<html>"),
        said(400, {"error": "text"}),
    ],
)
def test_what_is_not_foedus_is_named_and_gets_no_second_call(answer: httpx.Response) -> None:
    line = Line(answer)
    with pytest.raises(Unreachable):
        line.client().me()
    assert [one.url.host for one in line.asked] == ["foedus.example.org"]


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_LONGEST_ANSWER", 1000)
    told = 0

    def endless() -> Iterable[bytes]:
        nonlocal told
        for _ in range(1_000_000):
            told += 1
            yield b'{"a":' + b" " * 100

    with pytest.raises(Unreachable, match="without an end"):
        Line(httpx.Response(200, content=endless())).client().me()
    assert told < 20


# --- watching ---


def event(number: int) -> dict[str, object]:
    return {"id": number, "at": "2026-01-01T00:00:00", "kind": "k", "round": 1, "client": None, "values": {}}


class Platform:
    """A run with events, of a platform that is away from its third call on for some seconds."""

    def __init__(self, away_s: float, waited: list[float]) -> None:
        self.away_s, self.waited, self.calls = away_s, waited, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.calls > 3 and sum(self.waited) < self.away_s:
            raise httpx.ConnectError("away", request=request)
        is_over = sum(self.waited) >= self.away_s > 0 or self.calls > 3
        if not request.url.path.endswith("/events"):
            return said(200, {"name": "r-1", "rounds": 1, "state": "completed" if is_over else "running"})
        after = int(request.url.params["after"])
        known = range(1, 4 if is_over else 3)
        return said(200, {"items": [event(one) for one in known if one > after]})


def test_watching_goes_on_when_the_platform_is_back(waited: list[float]) -> None:
    platform = Platform(60.0, waited)
    with Client("https://x.org", "fed_a_b", transport=httpx.MockTransport(platform)) as client:
        assert [one.id for one in client.run("r-1").watch()] == [1, 2, 3]


def test_watching_is_given_up_when_the_platform_stays_away(waited: list[float]) -> None:
    platform = Platform(1e9, waited)
    with (
        Client("https://x.org", "fed_a_b", transport=httpx.MockTransport(platform)) as client,
        pytest.raises(Unreachable),
    ):
        list(client.run("r-1").watch(patience_s=30.0))
    assert 30 <= sum(waited) < 60


def test_pages_of_a_list_follow_each_other() -> None:
    line = Line(
        said(200, {"items": [{"slug": "a"}], "next": "after-a"}),
        said(200, {"items": [{"slug": "b"}], "next": None}),
    )
    assert [one.slug for one in line.client().projects()] == ["a", "b"]
    assert dict(line.asked[1].url.params) == {"after": "after-a"}

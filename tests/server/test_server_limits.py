"""How often something may be tried: counts that stand, and that keep no owner out."""

import dataclasses
import datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from foedus.server.app import create_app
from foedus.server.auth import limits, passwords
from foedus.server.auth.limits import Limit, attempt, network_of
from foedus.server.db import RateCount, User
from foedus.server.errors import TooMany
from foedus.server.platform import Platform

PASSWORD = "correct horse battery"  # noqa: S105
FEW = Limit("test", "tries", free=3, first_s=30, longest_s=100, window_s=3600)


class Clock:
    def __init__(self) -> None:
        self.at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(platform: Platform, clock: Clock) -> Platform:
    return dataclasses.replace(platform, now=clock)


@pytest.fixture
def app(timed: Platform) -> FastAPI:
    with timed.writing() as db:
        kept = passwords.hash_password(PASSWORD)
        db.add(User(name="bob", display_name="Bob", state="active", password_hash=kept))
    return create_app(timed)


def knock(app: FastAPI, password: str, address: str = "192.0.2.1", name: str = "bob") -> int:
    with TestClient(app, client=(address, 1234), follow_redirects=False) as browser:
        return browser.post("/sign-in", data={"name": name, "password": password}).status_code


def test_each_try_past_the_free_ones_makes_the_wait_longer(timed: Platform, clock: Clock) -> None:
    waits = []
    for _ in range(3):
        attempt(timed, FEW, "x")
    for _ in range(3):
        with pytest.raises(TooMany) as caught:
            attempt(timed, FEW, "x")
        waits.append(caught.value.retry_s)
        clock.pass_s(caught.value.retry_s)
        attempt(timed, FEW, "x")
    assert waits == [30, 60, 100]
    attempt(timed, FEW, "somebody else")


def test_counts_begin_anew_after_the_window(timed: Platform, clock: Clock) -> None:
    for _ in range(9):
        attempt(timed, FEW, "x")
        attempt(timed, FEW, "x")
        clock.pass_s(3601)


def test_a_count_stands_when_what_was_tried_is_rolled_back(app: FastAPI, timed: Platform) -> None:
    assert knock(app, "wrong") == 422
    with timed.reading() as db:
        counts = {row.what: row.count for row in db.scalars(select(RateCount))}
    assert counts == {"sign-in:bob@192.0.2.1": 1, "sign-in-address:192.0.2.1": 1, "sign-in-account:bob": 1}


@pytest.mark.slow
def test_guessing_is_stopped_and_told_how_long(app: FastAPI, clock: Clock) -> None:
    assert [knock(app, "wrong") for _ in range(6)] == [422] * 5 + [429]
    with TestClient(app, client=("192.0.2.1", 1)) as browser:
        answer = browser.post("/sign-in", data={"name": "bob", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "30"
    assert "Try again in 30 s" in answer.text
    clock.pass_s(30)
    assert knock(app, PASSWORD) == 303


@pytest.mark.slow
def test_the_owner_gets_in_from_elsewhere_while_somebody_guesses(app: FastAPI) -> None:
    for _ in range(12):
        knock(app, "wrong")
    assert knock(app, "wrong") == 429
    assert knock(app, PASSWORD, "198.51.100.7") == 303


@pytest.mark.slow
def test_guesses_from_everywhere_slow_down_strangers_but_not_a_known_address(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACCOUNT", dataclasses.replace(limits.ACCOUNT, free=4))
    assert knock(app, PASSWORD, "198.51.100.7") == 303
    assert [knock(app, "wrong", f"192.0.2.{n}") for n in range(5)] == [422] * 4 + [429]
    assert knock(app, PASSWORD, "203.0.113.9") == 429
    assert knock(app, PASSWORD, "198.51.100.7") == 303


@pytest.mark.slow
def test_one_address_cannot_try_all_names(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESS", dataclasses.replace(limits.ADDRESS, free=4))
    assert [knock(app, "wrong", name=f"n{n}") for n in range(5)] == [422] * 4 + [429]


@pytest.mark.slow
def test_right_passwords_use_up_nothing(app: FastAPI) -> None:
    assert {knock(app, PASSWORD) for _ in range(8)} == {303}


def test_the_addresses_of_one_household_count_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("testclient") == "testclient"


def test_old_counts_are_forgotten(timed: Platform, clock: Clock) -> None:
    attempt(timed, FEW, "x")
    clock.pass_s(86_401)
    attempt(timed, FEW, "y")
    with timed.writing() as db:
        assert limits.forget_old(db, clock()) == 1
        assert db.scalars(select(RateCount.what)).all() == ["test:y"]

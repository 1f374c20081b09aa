"""Repeated calls of the API happen once."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from tests.server.people import Person, make_person

from foedus.server.app import create_app
from foedus.server.db import IdempotencyKey
from foedus.server.platform import Platform

KEY = {"Idempotency-Key": "8f2c"}
NEW = {"slug": "lungs", "title": "Lungs"}


def kept(platform: Platform) -> int:
    with platform.reading() as db:
        return db.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


def test_the_same_call_gets_the_same_answer_and_happens_once(alice: Person) -> None:
    first = alice.program.post("/api/v1/projects", json=NEW, headers=KEY)
    again = alice.program.post("/api/v1/projects", json=NEW, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "content-security-policy" in again.headers
    without = alice.program.post("/api/v1/projects", json=NEW)
    assert without.status_code == 422


def test_a_refusal_is_kept_as_well(alice: Person) -> None:
    first = alice.program.post("/api/v1/projects", json={**NEW, "title": ""}, headers=KEY)
    again = alice.program.post("/api/v1/projects", json={**NEW, "title": ""}, headers=KEY)
    assert first.status_code == 422
    assert (again.status_code, again.json()) == (422, first.json())


def test_another_request_with_the_key_is_refused(alice: Person) -> None:
    alice.program.post("/api/v1/projects", json=NEW, headers=KEY)
    answer = alice.program.post("/api/v1/projects", json={**NEW, "slug": "other"}, headers=KEY)
    assert answer.status_code == 422
    assert "another request" in answer.json()["error"]["hint"]


def test_keys_belong_to_their_caller(alice: Person, stranger: Person) -> None:
    alice.program.post("/api/v1/projects", json=NEW, headers=KEY)
    theirs = stranger.program.post("/api/v1/projects", json={**NEW, "slug": "mine"}, headers=KEY)
    assert (theirs.status_code, theirs.json()["slug"]) == (201, "mine")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_a_key_that_makes_no_sense_is_refused(key: str, alice: Person) -> None:
    answer = alice.program.post("/api/v1/projects", json=NEW, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


def test_reading_and_pages_need_no_key(alice: Person, platform: Platform) -> None:
    alice.program.get("/api/v1/projects", headers=KEY)
    alice.browser.post("/theme", data={}, headers=KEY)
    assert kept(platform) == 0


def test_a_key_is_forgotten_after_a_day(alice: Person, platform: Platform) -> None:
    alice.program.post("/api/v1/projects", json=NEW, headers=KEY)
    later = replace(platform, now=lambda: platform.now() + timedelta(hours=25))
    bob = make_person(create_app(later), platform, "bob")
    with TestClient(create_app(later), headers=alice.program.headers) as client:
        client.post("/api/v1/projects", json={**NEW, "slug": "other"}, headers=KEY)
    assert bob.program.post("/api/v1/projects", json={**NEW, "slug": "third"}, headers=KEY).status_code == 201
    with platform.reading() as db:
        assert len(db.scalars(select(IdempotencyKey)).all()) == 2


@pytest.fixture
def slow(app: FastAPI) -> Iterator[tuple[threading.Event, threading.Event]]:
    """An API call that says that it has begun, and waits until it may end."""
    begun, may_end = threading.Event(), threading.Event()

    @app.post("/api/v1/slow")
    def call() -> dict[str, int]:
        begun.set()
        may_end.wait(10)
        return {"done": 1}

    yield begun, may_end
    may_end.set()


def test_a_second_call_while_the_first_is_under_way_is_refused(
    alice: Person, slow: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_end = slow
    answers = []
    first = threading.Thread(target=lambda: answers.append(alice.program.post("/api/v1/slow", headers=KEY)))
    first.start()
    assert begun.wait(10)
    with TestClient(alice.program.app, headers=alice.program.headers) as other:
        assert other.post("/api/v1/slow", headers=KEY).status_code == 409
        may_end.set()
        first.join(10)
        assert answers[0].json() == {"done": 1}
        assert other.post("/api/v1/slow", headers=KEY).json() == {"done": 1}


def test_a_call_whose_process_died_can_be_made_again(alice: Person, platform: Platform) -> None:
    alice.program.post("/api/v1/projects", json={**NEW, "title": ""}, headers=KEY)
    with platform.writing() as db:
        row = db.scalars(select(IdempotencyKey)).one()
        row.status, row.created_at = None, platform.now() - timedelta(minutes=11)
    assert alice.program.post("/api/v1/projects", json=NEW, headers=KEY).status_code == 201


def test_a_defect_is_no_answer_to_keep(app: FastAPI, alice: Person, platform: Platform) -> None:
    @app.post("/api/v1/defect")
    def defect() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        alice.program.post("/api/v1/defect", headers=KEY)
    assert kept(platform) == 0


def test_secrets_are_shown_once_and_not_kept(app: FastAPI, alice: Person, platform: Platform) -> None:
    @app.post("/api/v1/secret")
    def secret() -> dict[str, str]:
        return {"token": "hush"}

    assert alice.program.post("/api/v1/secret", headers=KEY).json() == {"token": "hush"}
    again = alice.program.post("/api/v1/secret", headers=KEY)
    assert again.status_code == 409
    with platform.reading() as db:
        assert "hush" not in str(db.scalars(select(IdempotencyKey)).one().body)

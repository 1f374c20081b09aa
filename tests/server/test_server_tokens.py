"""Tokens for programs: shown once, as strong as their maker allows, ended by their owners."""

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.auth import limits
from foedus.server.db import ApiToken, AuditEntry
from foedus.server.platform import Platform

NEW = {"note": "cluster", "scope": "read", "days": 30}


def client(app: FastAPI, token: str) -> TestClient:
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


def test_a_token_is_shown_once_and_works(alice: Person, app: FastAPI, platform: Platform) -> None:
    page = alice.browser.post("/account/tokens", data=NEW)
    assert page.status_code == 201
    token = re.findall(r"fed_[0-9a-f]{12}_[\w-]{43}", page.text)[0]
    again = alice.browser.get("/account").text
    assert token not in again
    assert token[:16] in again
    with client(app, token) as program:
        assert program.get("/api/v1/me").json()["scopes"] == ["read"]
    with platform.reading() as db:
        row = db.scalars(select(ApiToken).where(ApiToken.note == "cluster")).one()
        assert token.rpartition("_")[2] not in row.token_hash
        assert token not in str(db.scalars(select(AuditEntry.details)).all())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"note": " "}, "note"),
        ({"note": "x" * 201}, "note"),
        ({"scope": "admin"}, "scope"),
        ({"scope": "all"}, "scope"),
        ({"days": 0}, "days"),
        ({"days": 3651}, "days"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str, alice: Person) -> None:
    answer = alice.program.post("/api/v1/tokens", json={**NEW, **change})
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == [field]
    page = alice.browser.post("/account/tokens", data={**NEW, **change})
    assert page.status_code == 422
    assert f'href="#f-{field}"' in page.text


@pytest.mark.parametrize("days", ["x", "1.5", "-1", "9" * 30])
def test_days_that_are_no_number_are_told(days: str, alice: Person) -> None:
    page = alice.browser.post("/account/tokens", data={**NEW, "days": days})
    assert page.status_code == 422
    assert 'href="#f-days"' in page.text


def test_administrators_can_make_tokens_that_administer(person: Callable[..., Person]) -> None:
    answer = person("chief", is_admin=True).program.post("/api/v1/tokens", json={**NEW, "scope": "admin"})
    assert answer.json()["scopes"] == "read write admin"


def test_a_token_makes_none_that_may_do_more_or_lives_longer(alice: Person, app: FastAPI) -> None:
    reads = alice.program.post("/api/v1/tokens", json=NEW).json()["token"]
    with client(app, reads) as program:
        assert program.post("/api/v1/tokens", json=NEW).status_code == 403
    writes = alice.program.post("/api/v1/tokens", json={**NEW, "scope": "write"}).json()
    with client(app, writes["token"]) as program:
        made = program.post("/api/v1/tokens", json={"note": "x", "scope": "write", "days": None}).json()
    assert made["expires_at"] == writes["expires_at"]


def test_a_token_is_revoked_by_its_owner_alone(alice: Person, stranger: Person, app: FastAPI) -> None:
    made = alice.program.post("/api/v1/tokens", json=NEW).json()
    path = f"/api/v1/tokens/{made['prefix']}"
    theirs, missing = stranger.program.delete(path), stranger.program.delete("/api/v1/tokens/nothing")
    assert (theirs.status_code, theirs.json()) == (missing.status_code, missing.json())
    assert theirs.status_code == 404
    assert stranger.browser.post(f"/account/tokens/{made['prefix']}/revoke").status_code == 404
    assert made["prefix"] not in stranger.program.get("/api/v1/tokens").text
    assert alice.program.delete(path).status_code == 204
    with client(app, made["token"]) as program:
        answer = program.get("/api/v1/me")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.slow
def test_making_tokens_is_limited(alice: Person) -> None:
    codes = [
        alice.program.post("/api/v1/tokens", json=NEW).status_code for _ in range(limits.TOKENS.free + 1)
    ]
    assert codes[-2:] == [201, 429]

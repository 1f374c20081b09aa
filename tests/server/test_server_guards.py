"""What stands before all routes: protecting headers, limits of bodies, forged requests, foreign hosts."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.server.people import Person

from foedus.server.app import create_app
from foedus.server.platform import Platform
from foedus.server.settings import ServerSection

PUBLIC = "https://foedus.example"


def serving(platform: Platform, **values: object) -> TestClient:
    settings = platform.settings.model_copy(update={"server": ServerSection.model_validate(values)})
    return TestClient(
        create_app(replace(platform, settings=settings)), base_url=PUBLIC, raise_server_exceptions=False
    )


@pytest.mark.parametrize(
    "path", ["/projects", "/no-such-page", "/static/app.css", "/api/v1/projects", "/healthz", "/defect"]
)
def test_every_answer_keeps_foreign_code_out(path: str, app: FastAPI) -> None:
    @app.get("/defect")
    def defect() -> None:
        raise RuntimeError("hush")

    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get(path)
    csp = answer.headers["content-security-policy"]
    assert "script-src" not in csp
    assert "default-src 'self'" in csp
    assert "frame-ancestors 'none'" in csp
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in answer.headers
    assert ("cache-control" in answer.headers) or path.startswith("/static/")
    assert "hush" not in answer.text


def test_a_defect_is_answered_as_an_error_and_raised_on_into_the_log(app: FastAPI) -> None:
    @app.get("/api/v1/defect")
    def defect() -> None:
        raise RuntimeError("hush")

    answer = TestClient(app, raise_server_exceptions=False).get("/api/v1/defect")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "error")
    assert "hush" not in answer.text
    with pytest.raises(RuntimeError, match="hush"):
        TestClient(app).get("/api/v1/defect")


def chunks(size: int, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"a" * size


def test_a_large_body_is_refused_by_its_header_and_while_it_comes(platform: Platform, alice: Person) -> None:
    token = alice.program.headers["authorization"]
    with serving(platform, body_limit_mb=0.001) as client:
        client.headers["authorization"] = token
        for path in ("/api/v1/projects", "/projects/new"):
            kind = {
                "Content-Type": "application/json" if "api" in path else "application/x-www-form-urlencoded"
            }
            refused = client.post(path, content=b"a" * 1001, headers=kind)
            assert refused.status_code == 413
            assert "server.body_limit_mb" in refused.json()["error"]["hint"]
            assert client.post(path, content=chunks(600, 2), headers=kind).status_code == 413
            assert client.post(path, content=chunks(400, 2), headers=kind).status_code == 422
            keyed = {**kind, "Idempotency-Key": "k"}
            assert client.post(path, content=chunks(600, 2), headers=keyed).status_code == 413


@pytest.mark.parametrize("length", ["-1", "abc", "²"])
def test_a_length_that_is_no_number_is_refused(length: str, nobody: TestClient) -> None:
    answer = nobody.post("/theme", content=b"x", headers={"Content-Length": length.encode("latin-1")})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "https://testserver"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Authorization": "Bearer fed_a_b", "Origin": "https://evil.example"}, False),
    ],
)
def test_changes_come_from_our_own_pages(headers: dict[str, str], is_ours: bool, alice: Person) -> None:
    answer = alice.browser.post("/theme", data={"theme": "dark"}, headers=headers)
    assert (answer.status_code != 403) == is_ours


def test_a_program_with_a_token_and_no_cookie_cannot_be_forged(alice: Person) -> None:
    answer = alice.program.post(
        "/api/v1/projects", json={"slug": "own", "title": "Own"}, headers={"Origin": "https://app.example"}
    )
    assert answer.status_code == 201


def test_looking_is_allowed_from_everywhere(alice: Person) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert alice.browser.get("/projects", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("foedus.example", True),
        ("foedus.example:443", True),
        ("127.0.0.1:8640", True),
        ("[::1]:8640", True),
        ("evil.example", False),
        ("foedus.example.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_only_the_public_host_is_served(host: str, is_served: bool, platform: Platform) -> None:
    with serving(platform, public_url=PUBLIC) as client:
        assert (client.get("/healthz", headers={"Host": host}).status_code == 200) == is_served


def test_behind_a_proxy_the_public_address_is_our_origin(platform: Platform) -> None:
    with serving(platform, public_url=PUBLIC) as client:
        inside = {"Host": "127.0.0.1:8640"}
        ours = client.post("/theme", data={}, headers={**inside, "Origin": PUBLIC}, follow_redirects=False)
        assert ours.status_code == 303
        theirs = {**inside, "Origin": "http://127.0.0.1:8640"}
        assert client.post("/theme", data={}, headers=theirs).status_code == 403

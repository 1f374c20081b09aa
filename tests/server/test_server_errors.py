"""What is wrong is said in our words, with what to do about it, to people and to programs."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from tests.server.people import Person

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "kind", "hint"),
    [
        (b'{"slug": ', JSON, "body: must be JSON, which this is not from character 9 on"),
        (b"[1]", JSON, "body: must be a JSON object {…}, sent as Content-Type: application/json"),
        (b'{"slug": "a"}', {"Content-Type": "text/plain"}, "body: must be a JSON object {…}, sent as"),
        (b"", {}, "body: is missing"),
        (b'{"slug": 3, "title": "A"}', JSON, 'slug: must be a text in quotes: "…"'),
        (b'{"slug": "a", "title": "A", "colour": 1}', JSON, "colour: is not known here"),
    ],
)
def test_a_body_that_cannot_be_read_is_explained(
    body: bytes, kind: dict[str, str], hint: str, alice: Person
) -> None:
    answer = alice.program.post("/api/v1/projects", content=body, headers=kind)
    assert answer.status_code == 422
    assert answer.json()["error"]["hint"].startswith(hint)


def test_what_is_missing_says_what_to_look_at(alice: Person) -> None:
    found = alice.program.get("/api/v1/no-such-thing").json()["error"]
    assert found["message"] == "there is no such page here, or you may not see it"
    assert found["hint"].startswith("Check the address")
    assert "Check the address" in alice.browser.get("/projects/nowhere").text


def test_a_token_that_may_too_little_is_told_its_scope(person: Callable[..., Person]) -> None:
    chief = person("chief", is_admin=True)
    token = chief.program.post("/api/v1/tokens", json={"note": "x", "scope": "write", "days": 1}).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    answer = chief.program.get("/api/v1/admin/users", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["hint"] == "Use a token with the scope admin."


@pytest.mark.parametrize("path", ["/projects", "/search", "/chain"])
@pytest.mark.parametrize(
    ("words", "fault"),
    [("a\0b", "must have no character 0"), ("a" * 201, "must have at most 200 characters")],
)
def test_words_that_cannot_be_looked_for_are_told_why(
    path: str, words: str, fault: str, alice: Person
) -> None:
    assert fault in alice.browser.get(path, params={"q": words}).text


def test_a_form_of_somebody_signed_out_leads_to_signing_in_and_back(nobody: TestClient) -> None:
    headers = {"Referer": "http://testserver/account?x=1"}
    answer = nobody.post("/account/profile", headers=headers)
    assert answer.status_code == 401
    assert 'href="/sign-in?next=/account%3Fx%3D1"' in answer.text
    headers = {"Referer": "http://evil.example/account"}
    assert 'href="/sign-in?next=/"' in nobody.post("/account/profile", headers=headers).text

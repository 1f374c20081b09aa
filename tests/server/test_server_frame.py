"""The frame of all pages: navigation, light and dark, what errors look like."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.server.people import Person

from foedus.server.pages.frame import local_path
from foedus.server.pages.render import FOLDER

TEMPLATES = sorted((FOLDER / "templates").rglob("*.html"))


def test_the_place_one_is_at_is_marked_in_the_navigation(alice: Person) -> None:
    page = alice.browser.get("/projects").text
    assert '<a href="/projects" aria-current="page">' in page
    assert '<a href="/runs">' in page


def test_only_administrators_are_shown_the_way_to_administration(
    alice: Person, person: Callable[..., Person]
) -> None:
    assert 'href="/admin"' not in alice.browser.get("/projects").text
    admin = person("root", is_admin=True)
    assert 'href="/admin"' in admin.browser.get("/projects").text


def test_colours_are_remembered_and_one_stays_where_one_was(alice: Person) -> None:
    assert "data-theme" not in alice.browser.get("/projects").text
    answer = alice.browser.post("/theme", data={"theme": "dark", "next": "/projects?q=a"})
    assert answer.headers["location"] == "/projects?q=a"
    assert '<html lang="en" data-theme="dark">' in alice.browser.get("/projects").text
    alice.browser.post("/theme", data={"theme": "system"})
    assert "data-theme" not in alice.browser.get("/projects").text


def test_a_made_up_theme_reaches_no_page(alice: Person) -> None:
    alice.browser.cookies.set("theme", '"><script>')
    assert "data-theme" not in alice.browser.get("/projects").text


def test_nobody_needs_an_account_to_choose_colours(nobody: TestClient) -> None:
    assert nobody.post("/theme", data={"theme": "light"}).headers["location"] == "/"


@pytest.mark.parametrize(
    "text",
    ["https://evil.example", "//evil.example", "/\\evil.example", "x", "", "javascript:alert(1)", "/a\r\nb"],
)
def test_one_is_never_sent_elsewhere(text: str, nobody: TestClient) -> None:
    assert local_path(text) == "/"
    assert nobody.post("/theme", data={"theme": "dark", "next": text}).headers["location"] == "/"


def test_an_address_of_ours_is_kept() -> None:
    assert local_path("/runs?q=a%20b&sort=-x") == "/runs?q=a%20b&sort=-x"


def test_browsers_find_the_icon_by_themselves(nobody: TestClient) -> None:
    assert nobody.get("/favicon.ico").headers["location"] == "/static/icon.svg"


def test_a_missing_page_says_what_to_do(alice: Person) -> None:
    answer = alice.browser.get("/no-such-page")
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text
    assert "Go to the start page" in answer.text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_templates_run_no_script_of_their_own(path: Path) -> None:
    text = re.sub(r"\{[%{#].*?[%}#]\}", "", path.read_text(), flags=re.DOTALL)
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script, script
    assert not re.search(r"\son[a-z]+\s*=", text), "event handlers do not run under the policy"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_templates_speak_htmx_4(path: Path) -> None:
    old = re.findall(
        r"\b(?:hx-ext|sse-connect|sse-swap|ws-connect|hx-vars|hx-request|hx-prompt)\b", path.read_text()
    )
    assert not old, "docs/ui.md says what htmx 4 has instead"

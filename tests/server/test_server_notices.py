"""Once a form was done the next page says so, once, with or without JavaScript."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.server.people import Person

from foedus.server.pages.notices import Notice
from foedus.server.pages.render import FOLDER

PROFILE = {"display_name": "Alice", "email": "", "site": ""}
QUIET = {"choose_theme", "ask"}  # what these do is seen at once
SAYS = '<p class="notice" role="status">{}</p>'


def said(browser: TestClient, page: str) -> str | None:
    """Return what a page says once."""
    text = browser.get(page).text
    found = [notice for notice in Notice if SAYS.format(notice) in text]
    assert text.count('class="notice"') == len(found) <= 1
    return found[0] if found else None


def test_the_next_page_says_once_that_a_form_was_done(alice: Person) -> None:
    cookie = alice.browser.post("/account/profile", data=PROFILE).headers["set-cookie"]
    assert cookie.startswith("notice=SAVED; HttpOnly; Max-Age=60; Path=/; SameSite=strict")
    assert said(alice.browser, "/account") is Notice.SAVED
    assert said(alice.browser, "/account") is None


def test_a_form_with_faults_says_nothing_of_success(alice: Person) -> None:
    assert "set-cookie" not in alice.browser.post("/account/profile", data={**PROFILE, "email": "x"}).headers


def test_a_part_of_a_page_keeps_the_notice_for_the_page(alice: Person) -> None:
    alice.browser.post("/account/profile", data=PROFILE)
    assert "notice" not in alice.browser.get("/projects", headers={"HX-Target": "list"}).text
    assert said(alice.browser, "/projects") is Notice.SAVED


def test_a_made_up_notice_reaches_no_page(alice: Person) -> None:
    alice.browser.cookies.set("notice", "<b>Send me your password</b>")
    assert said(alice.browser, "/account") is None


def test_who_accepts_an_invitation_is_told_so(
    alice: Person, project: str, person: Callable[..., Person]
) -> None:
    bob = person("bob")
    alice.browser.post(f"/projects/{project}/members", data={"name": "bob", "role": "member"})
    assert said(alice.browser, f"/projects/{project}/members") is Notice.INVITED
    bob.browser.post(f"/account/invitations/{project}", data={"answer": "accept"})
    assert said(bob.browser, f"/projects/{project}") is Notice.JOINED


@pytest.mark.parametrize("path", sorted((FOLDER / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_every_form_that_leads_elsewhere_says_that_it_was_done(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef) or function.name in QUIET:
            continue
        if not any("router.post" in ast.unparse(decorator) for decorator in function.decorator_list):
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "see":
                assert len(call.args) == 2, f"{function.name}: {ast.unparse(call)}"

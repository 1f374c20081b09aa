"""What somebody new sees: empty lists that say what to do, and the way from a list to its next step."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import update
from tests.server.people import Person, join

from foedus.server.db import Membership, User
from foedus.server.platform import Platform

LISTS = (
    "/projects",
    "/runs",
    "/models",
    "/datasets",
    "/jobs",
    "/chain/blocks",
    "/chain/transactions",
    "/chain/events",
)


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_says_what_to_do(path: str, stranger: Person) -> None:
    found = re.search(r'<p class="empty">(.+?)</p>', stranger.browser.get(path).text)
    assert found
    assert found[1] != "Nothing here yet."
    assert ". " in found[1], "what there is not, and then what to do"


def test_a_list_that_cannot_be_narrowed_offers_no_way_to(alice: Person) -> None:
    assert 'class="filters"' not in alice.browser.get("/chain/blocks").text
    assert 'class="filters"' in alice.browser.get("/projects").text


def test_the_runs_of_a_project_lead_back_to_it_and_on_to_a_new_one(project: str, alice: Person) -> None:
    page = alice.browser.get(f"/projects/{project}/runs").text
    assert f'<a href="/projects/{project}">Lungs</a> › Runs' in page
    assert 'aria-current="page">Runs' in page
    assert f'href="/projects/{project}/runs/new"' in page
    assert "runs/new" not in alice.browser.get("/runs").text


def test_who_may_not_start_a_run_is_not_offered_one(
    project: str, stranger: Person, platform: Platform
) -> None:
    assert stranger.browser.get(f"/projects/{project}/runs").status_code == 404
    join(platform, stranger, project, "auditor")
    page = stranger.browser.get(f"/projects/{project}/runs")
    assert page.status_code == 200
    assert "runs/new" not in page.text


def test_truths_are_shown_in_words(person: Callable[..., Person]) -> None:
    page = person("chief", is_admin=True).browser.get("/admin/users").text
    assert re.search(r"<td[^>]*>\s*yes\s*</td>", page)
    assert "True" not in page
    assert "False" not in page


def test_administrators_are_told_of_accounts_that_wait(
    person: Callable[..., Person], alice: Person, platform: Platform
) -> None:
    chief = person("chief", is_admin=True)
    assert "for your approval" not in chief.browser.get("/").text
    with platform.writing() as db:
        db.add(User(name="grace", display_name="Grace", state="waiting"))
    assert '<a href="/admin">1 account waits for your approval' in chief.browser.get("/").text
    assert "for your approval" not in alice.browser.get("/").text


def test_who_is_invited_or_asked_to_let_somebody_in_is_told_so(
    project: str, alice: Person, stranger: Person, platform: Platform
) -> None:
    assert "Waiting for your answer" not in stranger.browser.get("/").text
    alice.browser.post(f"/projects/{project}/members", data={"name": stranger.user.name, "role": "member"})
    assert '<a href="/account">You are invited to Lungs' in stranger.browser.get("/").text
    assert "Waiting for your answer" not in alice.browser.get("/").text
    with platform.writing() as db:
        db.execute(update(Membership).where(Membership.state == "invited").values(state="asked"))
    assert f'<a href="/projects/{project}/members">1 to let into Lungs' in alice.browser.get("/").text
    assert "Waiting for your answer" not in stranger.browser.get("/").text

"""Projects by page and API: found by members, unknown to strangers."""

import pytest
from fastapi.testclient import TestClient
from tests.server.people import Person, join

from foedus.server.platform import Platform


def test_a_project_is_founded_in_the_browser_and_listed(alice: Person) -> None:
    form = {"slug": "lungs", "title": "Lungs", "goal": "Find them", "task": "segmentation"}
    assert alice.browser.post("/projects/new", data=form).headers["location"] == "/projects/lungs"
    page = alice.browser.get("/projects")
    assert page.status_code == 200
    assert "Lungs" in page.text
    assert alice.program.get("/api/v1/projects").json()["items"][0]["role"] == "owner"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "../x"}, "slug"),
        ({"slug": "new"}, "slug"),
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"task": "magic"}, "task"),
        ({"goal": "x" * 4001}, "goal"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    change: dict[str, str], field: str, alice: Person
) -> None:
    wanted = {"slug": "lungs", "title": "Lungs", "goal": "", "task": "segmentation", **change}
    answer = alice.program.post("/api/v1/projects", json=wanted)
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == [field]
    page = alice.browser.post("/projects/new", data=wanted)
    assert page.status_code == 422
    assert f'href="#f-{field}"' in page.text
    assert alice.program.get("/api/v1/projects").json()["total"] == 0


def test_a_strangers_project_looks_like_a_missing_one(project: str, stranger: Person) -> None:
    theirs = stranger.program.get(f"/api/v1/projects/{project}")
    missing = stranger.program.get("/api/v1/projects/nothing")
    assert (theirs.status_code, theirs.json()) == (missing.status_code, missing.json())
    assert theirs.status_code == 404
    assert stranger.program.get("/api/v1/projects").json()["total"] == 0


def test_members_see_it(project: str, stranger: Person, platform: Platform) -> None:
    join(platform, stranger, project, "auditor")
    assert stranger.program.get(f"/api/v1/projects/{project}").json()["title"] == "Lungs"


def test_nobody_is_sent_to_sign_in_and_comes_back(nobody: TestClient) -> None:
    assert nobody.get("/projects?q=a").headers["location"] == "/sign-in?next=%2Fprojects%3Fq%3Da"
    answer = nobody.get("/api/v1/projects")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_foreign_site_cannot_make_a_browser_found_a_project(alice: Person) -> None:
    form = {"slug": "evil", "title": "Evil", "task": "regression"}
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert alice.browser.post("/projects/new", data=form, headers=header).status_code == 403
    assert alice.program.get("/api/v1/projects").json()["total"] == 0


def test_nobody_founds_projects_without_end(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.server.services.projects.MOST_OWNED", 1)
    assert alice.program.post("/api/v1/projects", json={"slug": "one", "title": "One"}).status_code == 201
    assert alice.program.post("/api/v1/projects", json={"slug": "two", "title": "Two"}).status_code == 409


@pytest.mark.parametrize("title", ["x\u202ey", "a\nb", "\u200b"])
def test_titles_have_nothing_that_is_not_seen(alice: Person, title: str) -> None:
    answer = alice.program.post("/api/v1/projects", json={"slug": "one", "title": title})
    assert answer.status_code == 422
    assert "title" in answer.json()["error"]["fields"]

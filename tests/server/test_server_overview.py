"""A project's overview and settings, and what members bring to it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from tests.server.chains import Story
from tests.server.data import ready_dataset, with_roots
from tests.server.people import Person, join

from foedus.server.app import create_app
from foedus.server.db import AuditEntry, ChainAnswer, Membership, Project
from foedus.server.platform import Platform
from foedus.server.services.overview import Curve, Overview, overview

PAGES = ("", "/data", "/settings")


@pytest.fixture
def platform(platform: Platform, tmp_path: Path) -> Platform:
    return with_roots(platform, tmp_path / "data")


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def digits(platform: Platform, alice: Person, tmp_path: Path) -> int:
    return ready_dataset(platform, alice, tmp_path / "data")


def test_a_new_project_says_what_is_missing(alice: Person, project: str) -> None:
    found = alice.program.get(f"/api/v1/projects/{project}/overview").json()
    assert len(found["needs"]) == 3
    assert found["role"] == "owner"
    text = alice.browser.get(f"/projects/{project}").text
    assert "What is missing" in text
    assert f"/projects/{project}/runs/new" in text


@pytest.mark.parametrize("tail", PAGES)
def test_strangers_find_no_project(alice: Person, project: str, stranger: Person, tail: str) -> None:
    assert alice.browser.get(f"/projects/{project}{tail}").status_code == 200
    theirs = stranger.browser.get(f"/projects/{project}{tail}")
    missing = stranger.browser.get(f"/projects/nothing{tail}")
    assert theirs.status_code == missing.status_code == 404
    assert theirs.text.replace(project, "nothing") == missing.text


def test_a_member_contributes_a_dataset_and_others_see_no_small_counts(
    alice: Person, project: str, digits: int, stranger: Person, platform: Platform, tmp_path: Path
) -> None:
    form = {"dataset": str(digits), "mixes_shared": "yes"}
    assert alice.browser.post(f"/projects/{project}/data/contribution", data=form).status_code == 303
    join(platform, stranger, project)
    found = stranger.program.get(f"/api/v1/projects/{project}/data").json()["contributions"]
    assert found[0]["histogram"] == [20, 15, None]
    assert (found[0]["mixes_shared"], found[0]["examples"], found[0]["is_rounded"]) == (True, 40, True)
    text = stranger.browser.get(f"/projects/{project}/data").text
    assert "&lt;5" in text
    assert str(tmp_path) not in text
    needs = stranger.program.get(f"/api/v1/projects/{project}/overview").json()["needs"]
    assert "A member contributes a dataset" not in needs


def test_the_last_update_tells_no_small_count_either(
    alice: Person, project: str, story: Story, digits: int, stranger: Person, platform: Platform
) -> None:
    alice.program.put(f"/api/v1/projects/{project}/data/contribution", json={"dataset": digits})
    join(platform, stranger, project)
    with platform.writing() as db:
        db.execute(update(ChainAnswer).values(num_examples=32, num_shared=0))
    found = stranger.program.get(f"/api/v1/projects/{project}/data").json()["contributions"]
    assert (found[0]["last_examples"], found[0]["last_shared"]) == (30, 0)
    text = stranger.browser.get(f"/projects/{project}/data").text
    assert "<td>about 40</td>" in text
    assert "<td>0 of about 30</td>" in text


@pytest.mark.parametrize("place", ["contribution", "evaluation"])
def test_a_foreign_dataset_is_refused_like_a_missing_one(
    place: str, alice: Person, project: str, stranger: Person, platform: Platform, tmp_path: Path
) -> None:
    foreign = ready_dataset(platform, stranger, tmp_path / "data", "theirs")
    url = f"/api/v1/projects/{project}/data/{place}"
    theirs = alice.program.put(url, json={"dataset": foreign})
    missing = alice.program.put(url, json={"dataset": 999_999})
    assert theirs.status_code == missing.status_code == 422
    assert theirs.json() == missing.json()
    page = alice.browser.post(f"/projects/{project}/data/{place}", data={"dataset": str(foreign)})
    assert page.status_code == 422


def test_only_leads_choose_the_evaluation_dataset(
    alice: Person, project: str, digits: int, stranger: Person, platform: Platform, tmp_path: Path
) -> None:
    join(platform, stranger, project)
    own = ready_dataset(platform, stranger, tmp_path / "data", "theirs")
    url = f"/api/v1/projects/{project}/data/evaluation"
    assert stranger.program.put(url, json={"dataset": own}).status_code == 403
    assert alice.program.put(url, json={"dataset": digits}).json() == {"dataset": digits}


def test_a_lead_keeps_the_evaluation_dataset_of_another_member_unless_it_is_removed(
    alice: Person, project: str, digits: int, stranger: Person, platform: Platform
) -> None:
    join(platform, stranger, project, "lead")
    page = f"/projects/{project}/data"
    assert "Remove the evaluation dataset" not in alice.browser.get(page).text
    assert alice.browser.post(f"{page}/evaluation", data={"dataset": str(digits)}).status_code == 303
    assert "as it is" not in alice.browser.get(page).text  # her own is among hers
    assert '<option value="">as it is: digits of alice</option>' in stranger.browser.get(page).text
    assert stranger.browser.post(f"{page}/evaluation", data={"dataset": ""}).status_code == 303
    assert stranger.browser.get(page).text.count("data-confirm=") == 1
    with platform.reading() as db:
        assert db.scalars(select(Project.evaluation_id)).all() == [digits]
    assert stranger.browser.post(f"{page}/evaluation/remove").status_code == 303
    assert "No evaluation dataset yet." in stranger.browser.get(page).text


def test_members_neither_keep_nor_remove_the_evaluation_dataset(
    alice: Person, project: str, digits: int, stranger: Person, platform: Platform
) -> None:
    join(platform, stranger, project)
    page = f"/projects/{project}/data"
    alice.browser.post(f"{page}/evaluation", data={"dataset": str(digits)})
    for tail in ("", "/remove"):
        assert stranger.browser.post(f"{page}/evaluation{tail}").status_code == 403
    assert "digits of alice" not in stranger.browser.get(page).text


def test_an_auditor_contributes_nothing(
    project: str, stranger: Person, platform: Platform, tmp_path: Path
) -> None:
    join(platform, stranger, project, "auditor")
    own = ready_dataset(platform, stranger, tmp_path / "data")
    url = f"/api/v1/projects/{project}/data/contribution"
    assert stranger.program.put(url, json={"dataset": own}).status_code == 403


def test_a_withdrawn_dataset_is_no_contribution_any_more(
    alice: Person, project: str, digits: int, platform: Platform
) -> None:
    alice.program.put(f"/api/v1/projects/{project}/data/contribution", json={"dataset": digits})
    alice.program.put(f"/api/v1/projects/{project}/data/evaluation", json={"dataset": digits})
    alice.program.post(f"/api/v1/datasets/{digits}/withdraw")
    with platform.reading() as db:
        assert db.scalars(select(Membership.dataset_id)).all() == [None]
        assert db.scalars(select(Project.evaluation_id)).all() == [None]


def test_a_lead_changes_settings_and_the_audit_log_tells(
    alice: Person, project: str, platform: Platform
) -> None:
    form = {"title": "Lobes", "goal": "g", "task": "segmentation"}
    assert alice.browser.post(f"/projects/{project}/settings", data=form).status_code == 303
    assert "Lobes" in alice.browser.get(f"/projects/{project}").text
    wrong = alice.browser.post(f"/projects/{project}/settings", data={**form, "task": "magic"})
    assert wrong.status_code == 422
    alice.browser.post(f"/projects/{project}/settings/policy", data={"asks_votes": "yes"})
    with platform.reading() as db:
        assert db.scalars(select(Project.asks_votes)).all() == [True]
        actions = db.scalars(select(AuditEntry.action)).all()
    assert {"edit project", "change policy"} <= set(actions)


def test_a_frozen_policy_does_not_change(
    alice: Person, project: str, digits: int, platform: Platform
) -> None:
    assert alice.browser.post(f"/projects/{project}/settings/freeze").status_code == 303
    changed = alice.browser.post(f"/projects/{project}/settings/policy", data={"asks_votes": "yes"})
    assert changed.status_code == 409
    url = f"/api/v1/projects/{project}/data/evaluation"
    assert alice.program.put(url, json={"dataset": digits}).status_code == 409


def test_members_change_no_settings(project: str, stranger: Person, platform: Platform) -> None:
    join(platform, stranger, project)
    assert stranger.browser.get(f"/projects/{project}/settings").status_code == 403
    for tail in ("", "/policy", "/freeze", "/archive"):
        assert stranger.browser.post(f"/projects/{project}/settings{tail}").status_code == 403


def test_an_archived_project_starts_no_runs_until_it_is_reopened(alice: Person, project: str) -> None:
    url = f"/projects/{project}/settings/archive"
    alice.browser.post(url, data={"is_archived": "yes"})
    assert "Start a run</a>" not in alice.browser.get(f"/projects/{project}").text
    alice.browser.post(url, data={"is_archived": ""})
    assert "Start a run</a>" in alice.browser.get(f"/projects/{project}").text


def test_a_draft_that_is_no_spec_does_not_hinder_the_page(
    alice: Person, project: str, platform: Platform
) -> None:
    with platform.writing() as db:
        db.scalars(select(Project)).one().draft = {"rounds": "many"}
    assert "needs another look" in alice.browser.get(f"/projects/{project}").text


def test_the_current_model_is_shown_by_its_cid(alice: Person, project: str, story: Story) -> None:
    found = alice.program.get(f"/api/v1/projects/{project}/overview").json()
    assert alice.browser.get(f"/projects/{project}").status_code == 200
    assert found["model"] is None or found["model"]["cid"].startswith("baf")


def of_curves(platform: Platform, alice: Person, slug: str, curves: tuple[Curve, ...]) -> Overview:
    with platform.reading() as db:
        return replace(overview(db, alice.actor, slug), curves=curves)


def test_rounds_without_a_model_leave_the_best_score_as_it_was(
    alice: Person, project: str, platform: Platform
) -> None:
    curves = (Curve("r-1", (1, 4), (0.5, 0.625)), Curve("r-2", (2,), (1 / 3,)))
    with_curves = of_curves(platform, alice, project, curves)
    assert with_curves.chart()["x"] == [1, 2, 3, 4]
    assert [line["values"] for line in with_curves.chart()["series"]] == [
        [0.5, 0.5, 0.5, 0.625],
        [None, 0.33333, None, None],
    ]
    assert with_curves.table()[2] == [3, 0.5, None]


def test_best_scores_of_long_runs_are_few(alice: Person, project: str, platform: Platform) -> None:
    rounds = tuple(range(1, 2001))
    best = tuple(number / 2000 for number in rounds)
    curves = tuple(Curve(f"r-{one}", rounds, best) for one in range(5))
    x = of_curves(platform, alice, project, curves).chart()["x"]
    assert (x[0], x[-1]) == (1, 2000)
    assert len(x) <= 405

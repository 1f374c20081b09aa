"""Runs are started by leads, listed for members, cancelled with a reason, unknown to strangers."""

import pytest
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.server.db import Dataset, Membership, Project
from foedus.server.platform import Platform


@pytest.fixture
def ready(project: str, alice: Person, platform: Platform) -> str:
    """A project with evaluation data to which Alice contributes; returns its slug."""
    with platform.writing() as db:
        data = Dataset(owner_id=alice.user.id, name="scans", kind="images", state="ready", request={})
        db.add(data)
        db.flush()
        db.scalars(select(Project).where(Project.slug == project)).one().evaluation_id = data.id
        db.scalars(select(Membership)).one().dataset_id = data.id
    return project


def test_a_run_is_started_listed_and_cancelled_once(ready: str, alice: Person) -> None:
    made = alice.program.post(f"/api/v1/projects/{ready}/runs", json={"spec": {"rounds": 7}})
    assert made.status_code == 201, made.text
    run = made.json()
    assert (run["name"], run["rounds"], run["clients"], run["state"]) == ("lungs-1", 7, ["alice"], "waiting")
    assert run["spec"]["partition"]["clients"] == 1
    assert alice.program.get("/api/v1/runs").json()["total"] == 1
    assert "lungs-1" in alice.browser.get(f"/projects/{ready}/runs").text
    assert alice.browser.post("/runs/lungs-1/cancel", data={"reason": " "}).status_code == 422
    assert alice.browser.post("/runs/lungs-1/cancel", data={"reason": "wrong"}).status_code == 303
    assert "Cancelled: wrong" in alice.browser.get("/runs/lungs-1").text
    again = alice.program.post("/api/v1/runs/lungs-1/cancel", json={"reason": "twice"})
    assert again.status_code == 409


def test_a_project_without_data_says_what_is_missing(project: str, alice: Person) -> None:
    answer = alice.program.post(f"/api/v1/projects/{project}/runs", json={})
    assert answer.status_code == 409
    assert "evaluation dataset" in answer.json()["error"]["message"]


def test_strangers_learn_nothing_and_members_may_not_start(
    ready: str, alice: Person, stranger: Person, platform: Platform
) -> None:
    alice.program.post(f"/api/v1/projects/{ready}/runs", json={})
    for path in ("/api/v1/runs/{}", "/runs/{}"):
        assert stranger.program.get(path.format("lungs-1")).status_code == 404
    theirs = stranger.program.get("/api/v1/runs/lungs-1").json()
    assert theirs == stranger.program.get("/api/v1/runs/nothing").json()
    assert stranger.program.get("/api/v1/runs").json()["total"] == 0
    assert stranger.program.post(f"/api/v1/projects/{ready}/runs", json={}).status_code == 404
    join(platform, stranger, ready)
    assert stranger.program.post(f"/api/v1/projects/{ready}/runs", json={}).status_code == 403
    assert stranger.program.get("/api/v1/runs/lungs-1").status_code == 200

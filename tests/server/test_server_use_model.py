"""A model of a real run predicts on one's own data, and is what another project's runs begin with."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.federation import federation, worker_until
from tests.server.people import Person

from foedus.core.records import JobState
from foedus.server.auth import tokens
from foedus.server.db import AppJob, ChainVersion, Membership, Project, Run, User
from foedus.server.platform import Platform

OVER = {state.value for state in JobState if state.is_final}
NEW = {"slug": "further", "title": "Further"}


@pytest.fixture
def program(app: FastAPI, platform: Platform) -> Callable[[str], TestClient]:
    """Give a program with a token of somebody who has an account."""

    def make(name: str) -> TestClient:
        with platform.writing() as db:
            user = db.scalars(select(User).where(User.name == name)).one()
            _, token = tokens.make_token(db, user.id, "test", "admin", None)
        return TestClient(app, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)

    return make


@pytest.mark.slow
def test_a_model_predicts_and_a_project_starts_from_it(
    platform: Platform, tmp_path: Path, program: Callable[[str], TestClient]
) -> None:
    federation(platform, tmp_path, rounds=1)
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    worker_until(platform, lambda db: db.scalar(select(ChainVersion).filter_by(version=1)) is not None)
    ada = program("ada")
    with platform.reading() as db:
        made = db.scalars(select(ChainVersion).filter_by(version=1)).one()
        data = db.scalars(select(Membership.dataset_id).where(Membership.client == "ada")).one()

    wanted = {"parameters": {"model": made.cid, "dataset": "bars"}}
    answer = ada.post("/api/v1/applications/FL_PREDICT/jobs", json=wanted)
    assert answer.status_code == 201, answer.text
    worker_until(platform, lambda db: db.scalars(select(AppJob)).one().state in OVER)
    with platform.reading() as db:
        job = db.scalars(select(AppJob)).one()
        assert (job.state, job.cause) == ("completed", "")
    output = platform.user_home("ada").root / "jobs" / job.folder / "output"
    assert len((output / "predictions.csv").read_text().splitlines()) > 1

    answer = ada.post(f"/api/v1/models/{made.cid}/projects", json=NEW)
    assert answer.status_code == 201, answer.text
    with platform.writing() as db:
        project = db.scalars(select(Project).where(Project.slug == "further")).one()
        assert (project.origin, project.draft["model"]["start"]) == (made.cid, made.cid)
        project.evaluation_id = data
        mine = select(Membership).where(Membership.project_id == project.id)
        db.scalars(mine).one().dataset_id = data
    spec = {**project.draft, "rounds": 1}
    answer = ada.post("/api/v1/projects/further/runs", json={"spec": spec})
    assert answer.status_code == 201, answer.text
    worker_until(platform, lambda db: db.scalars(select(Run).where(Run.name == "further-1")).one().is_over)
    with platform.reading() as db:
        run = db.scalars(select(Run).where(Run.name == "further-1")).one()
        assert (run.state, run.cause) == ("completed", "")
    worker_until(platform, lambda db: db.get(ChainVersion, {"run": run.chain_run, "version": 0}) is not None)
    with platform.reading() as db:
        first = db.get_one(ChainVersion, {"run": run.chain_run, "version": 0})
        assert first.weights == made.weights

    spec["model"] = {"name": "cnn-bn", "start": made.cid}
    answer = ada.post("/api/v1/projects/further/runs/check", json={"spec": spec})
    assert "this is a version of cnn:" in answer.json()["error"]["fields"]["model.start"]


def test_what_is_not_sound_here_starts_no_project(alice: Person, story: Story) -> None:
    assert alice.browser.get(f"/models/{story.second}/project").status_code == 200
    answer = alice.program.post(f"/api/v1/models/{story.second}/projects", json=NEW)
    assert answer.status_code == 409
    assert "no project can start from this version" in answer.json()["error"]["message"]
    assert alice.program.get("/api/v1/projects/further").status_code == 404


def test_models_of_others_start_nothing(stranger: Person, story: Story) -> None:
    for cid in (story.second, "bafkreinothing"):
        assert stranger.program.post(f"/api/v1/models/{cid}/projects", json=NEW).status_code == 404
        assert stranger.browser.get(f"/models/{cid}/project").status_code == 404
        assert stranger.browser.post(f"/models/{cid}/project", data=NEW).status_code == 404


def test_the_origin_is_shown_to_those_who_may_see_it(
    alice: Person, stranger: Person, story: Story, platform: Platform
) -> None:
    stranger.program.post("/api/v1/projects", json={"slug": "theirs", "title": "Theirs"})
    alice.program.post("/api/v1/projects", json={"slug": "mine", "title": "Mine"})
    with platform.writing() as db:
        for project in db.scalars(select(Project)):
            project.origin = story.second
    assert f'href="/models/{story.second}"' in alice.browser.get("/projects/mine").text
    text = stranger.browser.get("/projects/theirs").text
    assert "a model of another project" in text
    assert story.second not in text

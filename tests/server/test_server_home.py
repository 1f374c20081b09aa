"""The start page: what waits for me and what goes on, of my projects only."""

import datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.server.people import Person, join

from foedus.server.db import Announcement, ChainRun, ChainVersion, Decision, Project, Run, Worker
from foedus.server.platform import Platform
from foedus.server.services import health, home

CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def add_run(platform: Platform, slug: str, voter: Person, state: str = "running") -> None:
    """A run at round 3 of 5 with a ballot that asks somebody, and an accepted version on the chain."""
    with platform.writing() as db:
        project = db.scalars(select(Project).where(Project.slug == slug)).one()
        project.chain_project = 1
        run = Run(
            name="lungs-1",
            project_id=project.id,
            created_by=voter.user.id,
            title="First lungs",
            spec={"model": {"name": "unet"}},
            algorithm="fedavg",
            rounds=5,
            round=3,
            state=state,
            chain_run=7,
        )
        db.add(run)
        db.flush()
        asked = Decision(
            run_id=run.id,
            round=3,
            user_id=voter.user.id,
            candidate=CID,
            score=0.91,
            base_score=0.9,
            deadline=9,
        )
        on_chain = ChainRun(
            run=7,
            project=1,
            name="lungs-1",
            terms=CID,
            version0=CID,
            rules={},
            round=3,
            version=2,
            current=CID,
            started_at=1,
        )
        version = ChainVersion(
            run=7, version=2, cid=CID, round=2, score_ppb=912_300_000, time=1, tx="0x" + "1" * 64
        )
        db.add_all([asked, on_chain, version])


def test_it_shows_my_runs_ballots_and_models(alice: Person, project: str, platform: Platform) -> None:
    add_run(platform, project, alice)
    page = alice.browser.get("/").text
    assert 'href="/runs/lungs-1"' in page
    assert "3 of 5" in page
    assert 'href="/runs/lungs-1/rounds/3"' in page
    assert f'href="/models/{CID}"' in page
    assert 'Dice 0.9123</span> <span class="muted">members&#39; mean' in page
    assert "Dice 0.9100, before 0.9000" in page
    page = alice.browser.get(f"/projects/{project}").text
    assert 'Dice 0.9123</span> <span class="muted">members&#39; mean' in page
    page = alice.browser.get(f"/models/{CID}").text
    assert "<dt>Dice</dt><dd>0.9123, members' mean</dd>" in page
    assert "Score, members&#39; mean" in alice.browser.get("/models").text


def test_a_stranger_sees_nothing_of_it(
    alice: Person, stranger: Person, project: str, platform: Platform
) -> None:
    add_run(platform, project, alice)
    page = stranger.browser.get("/").text
    assert "lungs" not in page.lower()
    assert CID not in page


def test_a_member_is_shown_the_run_but_not_the_ballot_of_another(
    alice: Person, stranger: Person, project: str, platform: Platform
) -> None:
    add_run(platform, project, alice)
    join(platform, stranger, project)
    page = stranger.browser.get("/").text
    assert 'href="/runs/lungs-1"' in page
    assert "rounds/3" not in page


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_what_is_over_waits_for_nobody(state: str, alice: Person, project: str, platform: Platform) -> None:
    add_run(platform, project, alice, state)
    page = alice.browser.get("/").text
    assert 'href="/runs/lungs-1"' not in page
    assert "rounds/3" not in page


def test_an_answered_ballot_waits_no_more(alice: Person, project: str, platform: Platform) -> None:
    add_run(platform, project, alice)
    with platform.writing() as db:
        db.scalars(select(Decision)).one().choice = 1
    assert "rounds/3" not in alice.browser.get("/").text


def test_announcements_are_shown_until_they_end(alice: Person, platform: Platform) -> None:
    an_hour = datetime.timedelta(hours=1)
    with platform.writing() as db:
        db.add(Announcement(text="Maintenance <tonight>", level="warning"))
        db.add(Announcement(text="Long gone", ends_at=platform.now() - an_hour))
        db.add(Announcement(text="Still true", ends_at=platform.now() + an_hour))
    page = alice.browser.get("/").text
    assert "Maintenance &lt;tonight&gt;" in page
    assert "Still true" in page
    assert "Long gone" not in page


def test_the_start_page_and_monitoring_say_the_same_of_each_part(
    alice: Person, platform: Platform, nobody: TestClient
) -> None:
    told = nobody.get("/readyz").json()["parts"]
    page = alice.browser.get("/").text
    assert [part["name"] for part in told] == ["database", "worker", "index", "store"]
    for part in told:
        assert f"<dt>{part['name'].capitalize()}</dt>" in page
        assert part["why"] in page


def test_a_worker_that_was_not_seen_lately_is_called_down(platform: Platform) -> None:
    def said() -> tuple[str, str]:
        part = next(part for part in health.parts(platform) if part.name == "worker")
        return part.state, part.why

    assert said() == ("down", "none is there: start one with foedus worker")
    now = platform.now()
    with platform.writing() as db:
        db.add(Worker(name="w1", started_at=now, seen_at=now, state="working"))
    assert said() == ("ok", "1 seen in the last 30 s")
    with platform.writing() as db:
        db.scalars(select(Worker)).one().seen_at = now - datetime.timedelta(seconds=health.SEEN_S + 1)
    assert said()[0] == "down"


def test_first_steps_are_ticked_and_go_once_all_are_done(
    alice: Person, platform: Platform, stranger: Person
) -> None:
    assert "First steps" in alice.browser.get("/").text
    alice.program.post("/api/v1/projects", json={"slug": "lungs", "title": "Lungs"})
    page = alice.browser.get("/").text
    assert 'href="/projects/lungs/runs/new"' in page
    assert '<li class="done">Found a project' in page


def test_a_part_that_fails_fails_alone(
    alice: Person, project: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(db: Session, actor: object) -> None:
        raise RuntimeError("the disc is gone")

    add_run(platform, project, alice)
    monkeypatch.setattr(home, "recent_models", broken)
    answer = alice.browser.get("/")
    assert answer.status_code == 200
    assert "cannot be shown now" in answer.text
    assert "the disc" not in answer.text
    assert 'href="/runs/lungs-1"' in answer.text


def test_nobody_is_sent_to_sign_in(nobody: TestClient) -> None:
    assert nobody.get("/").headers["location"] == "/sign-in?next=%2F"

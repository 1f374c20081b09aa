"""What happens in a run is shown while it happens, to members only: streams resume, and end with the run."""

import asyncio

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.db import Metric, Project, Run, RunEvent
from foedus.server.live import Hub
from foedus.server.pages.live import message
from foedus.server.platform import Platform


@pytest.fixture
def run(platform: Platform, project: str, alice: Person) -> str:
    """A run of Alice's project that is over, with numbers of 1,000 rounds."""
    with platform.writing() as db:
        found = Run(
            name="lungs-1",
            project_id=db.scalars(select(Project.id).where(Project.slug == project)).one(),
            created_by=alice.user.id,
            spec={"rounds": 1000},
            algorithm="fedavg",
            rounds=1000,
            state="completed",
        )
        db.add(found)
        db.flush()
        for number in range(1, 1001):
            for client, value in (("alice", 1 / number), ("bob", 2 / number)):
                db.add(Metric(run_id=found.id, name="loss", client=client, round=number, value=value))
        db.add(RunEvent(run_id=found.id, kind="state", round=0, values={"state": "completed"}))
    return "lungs-1"


def test_the_stream_of_a_run_that_is_over_shows_it_and_ends(run: str, alice: Person) -> None:
    answer = alice.browser.get(f"/runs/{run}/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "completed" in answer.text
    assert answer.text.endswith("event: over\ndata: over\n\n")
    page = alice.browser.get(f"/runs/{run}")
    assert "hx-sse:connect" not in page.text, "there is nothing to wait for"


def test_strangers_see_no_stream(run: str, stranger: Person, nobody: TestClient) -> None:
    for path in ("stream", "now", "curves", "rounds", "rounds/1"):
        assert stranger.browser.get(f"/runs/{run}/{path}").status_code == 404
        assert nobody.get(f"/runs/{run}/{path}").status_code == 303


def test_messages_keep_their_lines() -> None:
    assert message("a\n\nb", 7) == "id: 7\ndata: a\ndata: \ndata: b\n\n"


def test_listeners_are_told_each_news_once_and_leave_nothing_behind(platform: Platform, run: str) -> None:
    async def listen() -> list[int | None]:
        hub, heard = Hub(platform), []
        with platform.reading() as db:
            run_id = db.scalars(select(Run.id)).one()
        news = hub.news(run_id)
        heard.append(await anext(news))
        _tell(platform, run_id)
        heard.append(await asyncio.wait_for(anext(news), 10))
        assert hub.listeners == 1
        await news.aclose()
        assert hub.listeners == 0
        return heard

    first, second = asyncio.run(listen())
    assert first is not None
    assert second is not None
    assert second > first


def test_curves_of_a_thousand_rounds_are_a_small_page(run: str, alice: Person) -> None:
    page = alice.browser.get(f"/runs/{run}/curves")
    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert "Training loss" in page.text


def _tell(platform: Platform, run_id: int) -> None:
    with platform.writing() as db:
        db.add(RunEvent(run_id=run_id, kind="round", round=1, values={}))

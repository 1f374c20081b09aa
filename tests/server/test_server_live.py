"""What happens in a run is shown while it happens, to members only: streams resume, and end with the run."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from tests.server.people import Person

from foedus.server.db import Metric, Project, Run, RunEvent
from foedus.server.live import Hub
from foedus.server.pages.live import events, message
from foedus.server.platform import Platform

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run in a thread of its own: tests in a real browser leave a loop running in theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


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
        await hub.close()
        return heard

    first, second = in_a_loop(listen())
    assert first is not None
    assert second is not None
    assert second > first


def test_who_comes_later_keeps_no_news_from_the_others(platform: Platform, run: str) -> None:
    async def listen() -> list[int | None]:
        hub = Hub(platform)
        with platform.reading() as db:
            run_id = db.scalars(select(Run.id)).one()
        early, late = hub.news(run_id), hub.news(run_id)
        await anext(early)
        _tell(platform, run_id)
        newest = await anext(late)
        heard = await asyncio.wait_for(anext(early), 10)
        await early.aclose()
        await late.aclose()
        await hub.close()
        return [newest, heard]

    newest, heard = in_a_loop(listen())
    assert newest == heard


def test_a_hub_that_closes_sends_all_listeners_away_at_once(platform: Platform, run: str) -> None:
    async def rest(news: AsyncGenerator[int | None]) -> list[int | None]:
        return [newest async for newest in news]

    async def listen() -> list[list[int | None]]:
        hub = Hub(platform)
        listening = [hub.news(1, beat_s=60.0) for _ in range(200)]
        for one in listening:
            await anext(one)
        heard = asyncio.gather(*map(rest, listening))
        await asyncio.sleep(0)
        await asyncio.wait_for(hub.close(), 10)
        found = await asyncio.wait_for(heard, 10)
        assert hub.listeners == 0
        return found

    assert in_a_loop(listen()) == [[]] * 200


def test_curves_of_a_thousand_rounds_are_a_small_page(run: str, alice: Person) -> None:
    page = alice.browser.get(f"/runs/{run}/curves")
    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert "Training loss" in page.text


def _tell(platform: Platform, run_id: int) -> None:
    with platform.writing() as db:
        db.add(RunEvent(run_id=run_id, kind="round", round=1, values={}))


def test_a_part_is_made_once_for_all_who_are_woken_and_anew_for_who_comes_later(platform: Platform) -> None:
    made: list[int] = []

    def make(run: int) -> tuple[str, bool]:
        made.append(run)
        return f"part {len(made)}", False

    async def listen() -> list[tuple[str, bool]]:
        hub = Hub(platform)
        woken = await asyncio.gather(*(hub.shared(1, 7, make) for _ in range(200)))
        assert set(woken) == {("part 1", False)}
        return [await hub.shared(1, 8, make), await hub.shared(2, 8, make)]

    assert in_a_loop(listen()) == [("part 2", False), ("part 3", False)]
    assert made == [1, 1, 2]


def test_a_part_that_cannot_be_made_is_tried_again_by_the_next(platform: Platform) -> None:
    tries: list[int] = []

    def make(run: int) -> tuple[str, bool]:
        tries.append(run)
        if len(tries) == 1:
            raise LookupError("away for a moment")
        return "part", False

    async def listen() -> tuple[str, bool]:
        hub = Hub(platform)
        with pytest.raises(LookupError):
            await hub.shared(1, 7, make)
        return await hub.shared(1, 7, make)

    assert in_a_loop(listen()) == ("part", False)


def test_a_stream_ends_after_a_while_so_that_browsers_are_asked_anew_who_they_are(
    platform: Platform, run: str
) -> None:
    with platform.writing() as db:
        found = db.scalars(select(Run)).one()
        found.state, run_id = "running", found.id

    async def listen() -> list[str]:
        hub = Hub(platform)
        heard = [text async for text in events(platform, hub, run_id, -1, lasts_s=0.0)]
        assert hub.listeners == 0
        return heard

    told = in_a_loop(listen())
    assert len(told) == 2
    assert "running" in told[1]


def test_who_takes_a_stream_up_again_is_told_nothing_twice(platform: Platform, run: str) -> None:
    with platform.writing() as db:
        found = db.scalars(select(Run)).one()
        found.state, run_id = "running", found.id
        newest = db.scalars(select(func.max(RunEvent.id))).one()

    async def listen() -> list[str]:
        return [text async for text in events(platform, Hub(platform), run_id, newest, lasts_s=0.0)]

    assert in_a_loop(listen()) == ["retry: 2000\n\n"]

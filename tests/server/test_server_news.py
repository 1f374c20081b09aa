"""Pages are told when something changes that their reader may see, and of nothing else."""

import asyncio

from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person
from tests.server.test_server_live import in_a_loop

from foedus.server.db import AppJob, Project, Run
from foedus.server.live import Hub
from foedus.server.pages.live import news_events
from foedus.server.platform import Platform
from foedus.server.services import news


def add_run(platform: Platform, alice: Person) -> None:
    with platform.writing() as db:
        project = db.scalars(select(Project.id)).one()
        db.add(
            Run(
                name="lungs-1", project_id=project, created_by=alice.user.id, spec={}, algorithm="a", rounds=3
            )
        )


def mark_of(platform: Platform, person: Person) -> str:
    with platform.reading() as db:
        return news.mark(db, person.actor)


def test_a_mark_changes_with_what_one_sees_and_with_nothing_else(
    platform: Platform, project: str, alice: Person, stranger: Person
) -> None:
    seen = [mark_of(platform, alice)]
    unseen = mark_of(platform, stranger)
    add_run(platform, alice)
    seen.append(mark_of(platform, alice))
    with platform.writing() as db:
        db.scalars(select(Run)).one().round = 1
    seen.append(mark_of(platform, alice))
    with platform.writing() as db:
        db.add(AppJob(owner_id=alice.user.id, application="a", parameters={}, resources={}))
    seen.append(mark_of(platform, alice))
    with platform.writing() as db:
        db.scalars(select(AppJob)).one().state = "running"
    seen.append(mark_of(platform, alice))
    assert len(set(seen)) == 5
    assert mark_of(platform, alice) == seen[-1]
    assert mark_of(platform, stranger) == unseen


def test_a_change_is_told_once_and_a_reader_who_was_away_is_told_at_once(
    platform: Platform, project: str, alice: Person
) -> None:
    async def listen() -> list[str]:
        hub = Hub(platform)
        stream = news_events(platform, hub, alice.actor, "", lasts_s=60.0)
        heard = [await anext(stream), await anext(stream)]
        add_run(platform, alice)
        heard.append(await asyncio.wait_for(anext(stream), 10))
        await stream.aclose()
        again = news_events(platform, hub, alice.actor, "0123456789abcdef", lasts_s=0.0)
        heard += [await anext(again), await anext(again)]
        await again.aclose()
        assert hub.listeners == 0
        await hub.close()
        return heard

    _, since, told, _, missed = in_a_loop(listen())
    assert "event: since\n" in since
    assert told == missed
    assert told == f"id: {(mark := mark_of(platform, alice))}\nevent: news\ndata: {mark}\n\n"


def test_nobody_is_told_anything(nobody: TestClient) -> None:
    assert nobody.get("/news/stream").status_code == 303

"""Web and worker are killed again and again: the run goes on to its end, and the open page follows it."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.browser.killed import Processes, wait_until
from tests.browser.story_platform import command
from tests.browser.watched import Watched
from tests.server.federation import found_project

from foedus.server.auth import browsers
from foedus.server.db import ChainAnswer, ChainRun, ChainVote, Metric, Run, RunEvent, User
from foedus.server.index.follow import open_chain, rebuild
from foedus.server.platform import Platform, open_platform
from foedus.site.settings import read_settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser"), pytest.mark.timeout(900)]

ROUNDS, KILLS, LIMIT_S = 10, 20, 120.0
RUN = "digits-1"
PAUSE_S = (0.0, 1.2)  # between the worker being back and the next kill
BOTH = ("serve", "worker")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with open_platform(read_settings(tmp_path / "home", environ={})) as opened:
        found_project(opened, tmp_path)
        yield opened


@pytest.fixture
def processes(platform: Platform) -> Iterator[Processes]:
    found = Processes(platform)
    found.start(*BOTH)
    try:
        wait_until(found.answers)
        yield found
    finally:
        found.end()


@pytest.fixture
def ada(chromium: Browser, platform: Platform, processes: Processes) -> Iterator[Watched]:
    """Ada's page; that requests fail while nobody answers is no complaint."""
    with platform.writing() as db:
        user = db.scalars(select(User).where(User.name == "ada")).one()
        cookie = browsers.sign_in(db, user, platform.server, platform.now(), "test", "127.0.0.1")
    context = chromium.new_context(base_url=processes.origin, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    name = browsers.cookie_name(is_https=False)
    context.add_cookies([{"name": name, "value": cookie, "url": processes.origin}])
    watched = Watched(context.new_page(), processes.origin)
    yield watched
    context.close()
    assert watched.complaints == []


def test_a_run_and_its_page_survive_twenty_kills_of_web_and_worker(
    platform: Platform, processes: Processes, ada: Watched
) -> None:
    _start_run(ada)
    page, moments = ada.page, random.Random(11)
    ada.expects_error = True
    page.evaluate("document.body.dataset.isTheSame = 'yes'")  # gone if the page were loaded again
    processes.kill("serve")
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    processes.start("serve")
    for number in range(KILLS):
        due = 1 + number * (ROUNDS - 1) // KILLS  # kills are spread over the whole run
        wait_until(lambda: processes.works() and _round(platform) >= due)  # noqa: B023 - called at once
        is_early = _round(platform) > due
        time.sleep(0.0 if is_early else moments.uniform(*PAUSE_S))
        assert not _is_over(platform), "the run is too short for so many kills"
        victims = BOTH if is_early else moments.choice((("serve",), ("worker",), BOTH))
        processes.kill(*victims)
        processes.start(*victims)
    live = page.locator("[data-live]")
    expect(live).to_contain_text("completed", timeout=LIMIT_S * 1000)
    expect(live).to_contain_text(f"{ROUNDS} of {ROUNDS}")
    expect(page.get_by_text("reconnecting…")).to_be_hidden()
    expect(page.locator("body")).to_have_attribute("data-is-the-same", "yes")
    assert processes.end() == {"serve": 0, "worker": 0}
    _expect_nothing_lost_or_repeated(platform)
    verified = command("verify", RUN, "--home", str(platform.home.root))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _start_run(ada: Watched) -> None:
    ada.go("/projects/digits/runs/new")
    ada.page.get_by_label("Rounds").fill(str(ROUNDS))
    ada.page.get_by_label("Batch size").fill("16")
    ada.page.get_by_role("button", name="Review", exact=True).click()
    ada.page.get_by_role("button", name="Start the run", exact=True).click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text(RUN)


def _round(platform: Platform) -> int:
    with platform.reading() as db:
        return db.scalars(select(Run.round)).one()


def _is_over(platform: Platform) -> bool:
    with platform.reading() as db:
        return db.scalars(select(Run)).one().is_over


def _expect_nothing_lost_or_repeated(platform: Platform) -> None:
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, run.cause, run.round) == ("completed", "", ROUNDS)
        measured = db.execute(
            select(Metric.client, Metric.round).where(Metric.name == "loss", Metric.client != "")
        ).all()
        assert sorted(map(tuple, measured)) == [
            (client, number) for client in ("ada", "bob") for number in range(1, ROUNDS + 1)
        ]
        ended = db.scalars(select(RunEvent.round).where(RunEvent.kind == "round-ended")).all()
        assert sorted(ended) == sorted(set(ended))
        indexed = _rows(db)
    rebuild(platform)
    with platform.reading() as db:
        assert _rows(db) == indexed, "the index that was followed is not the one that is made anew"
        assert indexed[0] == 1
    with open_chain(platform) as reader:
        sent = Counter(
            (event.name, event.args["round"], event.args.get("client", event.args.get("voter")))
            for event in reader.events()
            if event.name in ("Registered", "Abstained", "Voted")
        )
    assert set(sent.values()) == {1}
    assert len([name for name, *_ in sent if name == "Voted"]) == 2 * ROUNDS


def _rows(db: Session) -> tuple[int | None, ...]:
    return tuple(
        db.scalar(select(func.count()).select_from(one)) for one in (ChainRun, ChainAnswer, ChainVote)
    )

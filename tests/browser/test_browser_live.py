"""Start page and lists follow what happens by themselves, and leave alone what somebody does in them."""

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, expect
from sqlalchemy import select
from tests.browser.filled import Filled
from tests.browser.watched import Watched

from foedus.server.db import Run, RunEvent
from foedus.server.platform import open_platform
from foedus.site.settings import read_settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture
def set_round(filled: Filled) -> Iterator[Callable[[int], None]]:
    """Set the round of the run `lungs-1`, as a worker does; afterwards it is as it was."""
    with open_platform(read_settings(filled.home, environ={})) as platform:

        def set_to(number: int) -> None:
            with platform.writing() as db:
                run = db.scalars(select(Run).where(Run.name == "lungs-1")).one()
                run.round = number
                db.add(RunEvent(run_id=run.id, kind="round", round=number, values={}))

        with platform.reading() as db:
            before = db.scalars(select(Run.round).where(Run.name == "lungs-1")).one()
        yield set_to
        set_to(before)


def test_the_start_page_follows_a_run(
    visit: Callable[..., Watched], set_round: Callable[[int], None]
) -> None:
    watched = visit("alice")
    set_round(2)
    with watched.page.expect_response("**/news/stream"):
        watched.go("/")
    bar = watched.page.get_by_role("region", name="Runs under way")
    expect(bar).to_contain_text("2 of")
    watched.page.get_by_role("link", name="All runs").focus()
    watched.page.wait_for_timeout(1500)  # its stream has looked around once
    set_round(3)
    expect(bar).to_contain_text("3 of", timeout=15_000)
    expect(watched.page.get_by_role("link", name="All runs")).to_be_focused()
    watched.check()


def test_a_list_follows_too_and_keeps_what_is_being_typed(
    visit: Callable[..., Watched], set_round: Callable[[int], None]
) -> None:
    watched = visit("alice")
    set_round(2)
    with watched.page.expect_response("**/news/stream"):
        watched.go("/runs?q=lungs-1")
    row = watched.page.get_by_role("row", name="lungs-1")
    box = watched.page.get_by_label("Words to look for")
    box.fill("lungs-1 and")
    watched.page.wait_for_timeout(1500)  # as above
    set_round(3)
    expect(row.get_by_role("cell", name="3", exact=True)).to_be_visible(timeout=15_000)
    expect(box).to_be_focused()
    expect(box).to_have_value("lungs-1 and")
    watched.check()


def test_a_page_follows_also_when_a_script_comes_late(visit: Callable[..., Watched]) -> None:
    def late(route: Route) -> None:
        time.sleep(1)
        route.continue_()

    watched = visit("alice")
    watched.page.route("**/htmx-sse-*.js", late)
    with watched.page.expect_response("**/news/stream"):
        watched.go("/")

"""The whole story: two people found a federation in two browsers, and a real worker carries it out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.story_person import Person
from tests.browser.story_platform import Running, command, running
from tests.browser.watched import Watched

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

PEOPLE = ("ada", "ben")
ROUNDS = 2


@pytest.fixture
def platform(tmp_path: Path, chromium: Browser) -> Iterator[Running]:
    """A fresh platform; without a browser none is started."""
    with running(tmp_path, PEOPLE) as found:
        yield found


@pytest.fixture
def people(platform: Running, chromium: Browser) -> Iterator[list[Person]]:
    """Each at a browser of his own; what the browsers complain about fails the test at its end."""
    found = []
    for name in PEOPLE:
        context = chromium.new_context(base_url=platform.origin, reduced_motion="reduce")
        context.set_default_timeout(10_000)
        tabs = [Watched(context.new_page(), platform.origin) for _ in range(2)]
        found.append(Person(name, *tabs))
    yield found
    for one in found:
        one.page.context.close()
    assert [
        complaint for one in found for tab in (one.watched, one.second) for complaint in tab.complaints
    ] == []


def test_two_people_federate_from_the_first_account_to_a_verified_model(
    platform: Running, people: list[Person], tmp_path: Path
) -> None:
    ada, ben = people
    _make_accounts(platform, ada, ben)
    _found_project(ada, ben)
    for one in people:
        one.register_data()
        one.choose_data("bars", "Save")
        expect(one.page.get_by_role("cell", name=one.name)).to_be_visible()
    ada.choose_data("bars", "Use for evaluation")
    expect(ada.page.get_by_text("The project has an evaluation dataset.")).to_be_visible()
    run = _start_run(ada)
    for one in people:
        one.watch(run)
    for number in range(1, ROUNDS + 1):
        for one in people:
            one.is_told(f"Round {number} voting")
            one.vote(run, number)
    for one in people:
        one.is_told("completed")
        one.watched.go(f"/runs/{run}")
        one.reload_until(one.page.get_by_role("heading", name=f"Round {ROUNDS} accepted"))
        one.watched.check()
    ben.watched.go("/projects/bars")
    model = ben.page.get_by_role("link", name=f"{run} version {ROUNDS}")
    ben.reload_until(model)
    model.click()
    ben.take_model(tmp_path)
    verified = command("verify", run, "--home", str(platform.home))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _make_accounts(platform: Running, ada: Person, ben: Person) -> None:
    """Ada makes the first account, Ben signs up and is approved by her."""
    ada.watched.go(platform.welcome)
    ada.say_who()
    ada.sees("Hello, Ada")
    ben.watched.go("/sign-up")
    ben.say_who()
    expect(ben.page.get_by_role("status").first).to_contain_text("waits for approval")
    ada.watched.go("/admin/users")
    ada.follow(ben.name)
    ada.press("Approve")
    ben.sign_in()


def _found_project(ada: Person, ben: Person) -> None:
    """Ada founds a project whose members vote themselves, and Ben joins it by her link."""
    page = ada.page
    ada.watched.go("/projects/new")
    page.get_by_label("Title").fill("Bars of two sites")
    page.get_by_label("Name in addresses").fill("bars")
    ada.press("Create the project")
    ada.sees("Bars of two sites")
    ada.follow("Settings")
    page.get_by_label("Members decide each ballot themselves").check()
    ada.press("Save the policy")
    expect(page.get_by_label("Members decide each ballot themselves")).to_be_checked()
    ada.follow("Members")
    page.get_by_label("Role of who joins").select_option("member")
    ada.press("Make a link")
    ada.sees("Invitation")
    link = str(page.get_by_role("button", name="Copy the link").get_attribute("data-copy"))
    ben.page.goto(link)
    ben.press("Join")
    ben.sees("Bars of two sites")
    ben.page.get_by_role("main").get_by_text("Ada").wait_for()


def _start_run(ada: Person) -> str:
    """Start a run by the form and return its name."""
    ada.watched.go("/projects/bars")
    ada.follow("Start a run")
    ada.page.get_by_label("Title").fill("Our first")
    ada.page.get_by_label("Rounds").fill(str(ROUNDS))
    ada.page.get_by_label("Epochs").fill("4")
    ada.page.get_by_label("Batch size").fill("16")
    ada.page.get_by_label("Learning rate").fill("0.05")
    ada.press("Review")
    ada.press("Start the run")
    ada.sees("Our first")
    return ada.page.url.rpartition("/")[2]

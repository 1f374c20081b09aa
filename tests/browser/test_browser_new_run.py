"""The form for a new run in a real browser: with and without JavaScript."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.watched import Watched

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

PLACE = "/projects/lungs/runs/new"


def test_another_algorithm_brings_its_fields_and_keeps_the_rest(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    page = watched.page
    watched.go(PLACE)
    page.get_by_label("Rounds").fill("17")
    page.get_by_label("Algorithm").select_option("fedadam")
    expect(page.get_by_label("beta1")).to_have_value("0.9")
    expect(page.get_by_label("Rounds")).to_have_value("17")
    expect(page.get_by_label("mu", exact=True)).to_have_count(0)
    watched.check()


@pytest.mark.parametrize("has_script", [True, False])
def test_a_run_is_reviewed_and_one_comes_back_to_what_was_typed(
    has_script: bool, visit: Callable[..., Watched]
) -> None:
    watched = visit("alice", has_script=has_script)
    page = watched.page
    watched.go(PLACE)
    page.get_by_label("Algorithm").select_option("fedadam")
    page.get_by_role("button", name="Show the parameters of these").click()
    page.get_by_label("beta1").fill("0.8")
    page.get_by_label("Rounds").fill("0")
    watched.expects_error = True
    page.get_by_label("Rounds").press("Enter")
    page.get_by_role("alert").get_by_role("link", name="rounds").click()
    page.get_by_label("Rounds").fill("9")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Review the new run")
    expect(page.get_by_label("Spec")).to_contain_text("beta1 = 0.8")
    if has_script:
        watched.check()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("beta1")).to_have_value("0.8")
    expect(page.get_by_label("Rounds")).to_have_value("9")

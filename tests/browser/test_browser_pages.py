"""Every page in a real browser: no errors, nothing from elsewhere, accessible in all sizes and colours."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser import places
from tests.browser.filled_chain import cid
from tests.browser.watched import Watched

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("path", [*places.plain_pages(), *places.WITH_PARAMETERS])
def test_a_page_is_in_order(path: str, visit: Callable[..., Watched]) -> None:
    watched = visit("root" if path.startswith("/admin") else "alice")
    answer = watched.go(path)
    if "text/html" in answer.headers.get("content-type", "") and "<html" in answer.text():
        watched.check()


@pytest.mark.parametrize("path", places.SIGNED_OUT)
def test_a_page_for_anybody_is_in_order(path: str, visit: Callable[..., Watched]) -> None:
    watched = visit()
    watched.go(path)
    watched.check()


@pytest.mark.parametrize("path", ["/", "/projects"])
def test_an_empty_page_is_in_order(path: str, visit: Callable[..., Watched]) -> None:
    watched = visit("nora")
    watched.go(path)
    watched.check()


def test_a_missing_page_is_in_order(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.go("/no-such-page", 404)
    watched.check()


def test_a_form_with_faults_is_in_order(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    page = watched.page
    watched.go("/projects/new")
    page.get_by_label("Title").fill("Digits again")
    page.get_by_label("Name in addresses").fill("digits")
    watched.expects_error = True
    page.get_by_role("button", name="Create the project").click()
    expect(page.get_by_role("alert")).to_contain_text("this name is taken")
    assert page.get_by_label("Name in addresses").get_attribute("aria-invalid") == "true"
    watched.check()


def test_a_form_that_was_done_is_told_once_and_in_order(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    page = watched.page
    page.goto("/account")
    page.locator("form[action='/account/profile']").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_in_viewport()
    watched.check()
    page.reload()
    expect(page.get_by_text("Saved.")).to_have_count(0)


def test_everything_works_without_javascript(visit: Callable[..., Watched]) -> None:
    page = visit("alice", has_script=False).page
    page.goto("/")
    page.get_by_role("link", name="Projects", exact=True).first.click()
    page.get_by_label("Words to look for").fill("lung")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("1 entry")).to_be_visible()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert "q=lung" in page.url


def test_two_models_are_ticked_and_compared(visit: Callable[..., Watched]) -> None:
    watched = visit("alice", has_script=False)
    page = watched.page
    watched.go("/models")
    for number in (101, 102):
        page.locator(f'input[value="{cid(number)}"]').check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_role("region", name="Facts").locator(f'code[title="{cid(102)}"]')).to_be_visible()
    page.go_back()
    page.locator(f'input[value="{cid(101)}"]').uncheck()
    watched.expects_error = True
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_role("alert")).to_have_text("Tick two models, not 1.")


def test_a_comparison_with_a_missing_model_is_in_order(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.go(f"/models/compare?a={cid(101)}&b=nothing", 404)
    watched.check()


@pytest.mark.parametrize("path", ["/projects", "/projects/lungs/data", "/runs/lungs-3/rounds/2"])
def test_short_words_in_tables_stay_whole_on_a_phone(path: str, visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.page.set_viewport_size({"width": 360, "height": 740})
    watched.go(path)
    rows = watched.page.locator(".wide:not(.tall) tbody tr").all()
    assert rows
    heights = [box["height"] for row in rows if (box := row.bounding_box())]
    assert max(heights) < 60
    assert watched.page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_watch_notices_what_is_wrong(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.go("/projects")
    watched.page.evaluate("document.querySelector('main').innerHTML = '<h1 style=width:2000px>x</h1><input>'")
    with pytest.raises(AssertionError, match=r"(?s)px wide.*label"):
        watched.check()
    with watched.page.expect_console_message():
        watched.page.evaluate("console.error('oh')")
    assert watched.complaints == ["error on the console: oh"]
    watched.complaints.clear()

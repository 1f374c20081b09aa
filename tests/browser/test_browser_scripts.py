"""What the scripts of the pages do: charts, questions before deeds, logs, copying, menus."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.browser.watched import Watched

from foedus.server.pages.render import _ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

_HTML = """<!doctype html><html lang="en"><head><title>Parts</title><link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/vendor/pico-2.1.1.min.css"><link rel="stylesheet" href="/static/app.css">
<script src="/static/vendor/htmx-4.0.1.min.js"></script>
<script src="/static/vendor/htmx-sse-4.0.1.min.js" defer></script>
<script src="/static/vendor/echarts-6.1.0.min.js" defer></script><script src="/static/charts.js" defer>
</script><script src="/static/app.js" defer></script></head>
<body><main id="main" class="container"><h1>Parts</h1>{}</main>
<div class="toasts" role="status"></div></body></html>"""

LINES = {
    "x": list(range(1, 9)),
    "x_name": "round",
    "y_name": "loss",
    "series": [
        {"name": "mean", "values": [2.1, 1.4, 1.0, None, 0.6, 0.55, 0.5, 0.49]},
        {"name": "alice", "values": [2.0, 1.2, 0.9, 0.7, 0.5, 0.5, 0.4, 0.4], "quiet": True},
    ],
    "band": {"low": [1.9, 1.1, 0.8, 0.6, 0.4, 0.4, 0.4, 0.4], "high": [2.3, 1.7, 1.2, 1, 0.8, 0.7, 0.6, 0.6]},
    "group": "rounds",
}
BARS = {
    "x": ["0", "1"],
    "stacked": True,
    "series": [{"name": "A", "values": [3, 4]}, {"name": "B", "values": [1, 2]}],
}
HEAT = {"x": ["0", "1"], "y": ["site A", "<b>site B"], "values": [[3, 4], [0, None]], "y_name": "examples"}
GRAPH = {
    "nodes": [
        {"id": "a", "name": "v0", "kind": "model", "href": "/projects"},
        {"id": "u", "name": "alice", "kind": "update"},
        {"id": "b", "name": "v1", "kind": "model"},
    ],
    "links": [{"from": "a", "to": "u"}, {"from": "u", "to": "b"}, {"from": "a", "to": "b"}],
}


def chart(kind: str, values: Any) -> str:  # noqa: ANN401
    parts: Any = _ENVIRONMENT.get_template("_parts.html").module
    rows = [[1, 2.1], [2, None]]
    return str(parts.chart(kind, "Loss", values, "It falls from 2.1 to 0.49.", ["round", "loss"], rows))


@pytest.fixture
def show(visit: Callable[..., Watched]) -> Callable[[str], Watched]:
    """Open a page of ours that consists of this."""

    def open_page(main: str) -> Watched:
        watched = visit("alice")
        headers = {"Content-Security-Policy": watched.go("/projects").headers["content-security-policy"]}
        watched.page.route(
            "**/parts",
            lambda route: route.fulfill(
                body=_HTML.format(main), content_type="text/html; charset=utf-8", headers=headers
            ),
        )
        watched.go("/parts")
        return watched

    return open_page


@pytest.mark.parametrize(
    ("kind", "values"), [("lines", LINES), ("bars", BARS), ("heatmap", HEAT), ("graph", GRAPH)]
)
def test_a_chart_is_drawn_and_accessible(kind: str, values: object, show: Callable[[str], Watched]) -> None:
    watched = show(chart(kind, values))
    expect(watched.page.locator(".canvas canvas").first).to_be_visible()
    expect(watched.page.get_by_role("img", name="Loss. It falls from 2.1 to 0.49.")).to_be_visible()
    watched.page.get_by_text("Data as a table").click()
    watched.check()


def test_versions_are_on_one_line_and_updates_right_before_their_first_use(
    show: Callable[[str], Watched],
) -> None:
    versions = [{"id": f"v{number}", "name": f"v{number}", "kind": "model"} for number in range(6)]
    updates = [{"id": name, "name": name, "kind": "update"} for name in ("alice", "bob")]
    links = [{"from": f"v{number}", "to": f"v{number + 1}"} for number in range(5)]
    links += [{"from": name, "to": "v5"} for name in ("alice", "bob")]
    page = show(chart("graph", {"nodes": [*reversed(versions), *updates], "links": links})).page
    expect(page.locator(".canvas canvas").first).to_be_visible()
    data = page.evaluate(
        "echarts.getInstanceByDom(document.querySelector('.canvas')).getOption().series[0].data"
    )
    at = {node["id"]: (node["x"], node["y"]) for node in data}
    assert len({at[f"v{number}"][1] for number in range(6)}) == 1
    assert [at[f"v{number}"][0] for number in range(6)] == sorted(at[f"v{number}"][0] for number in range(6))
    assert at["alice"][0] == at["bob"][0] == at["v4"][0]
    assert at["v4"][1] < at["alice"][1] < at["bob"][1]


def test_lines_are_true_to_the_rounds_and_a_value_between_gaps_is_a_dot(
    show: Callable[[str], Watched],
) -> None:
    rounds = [1, *range(7, 50), 90]
    alone = [None, 0.3, None] + [0.5] * 40 + [None, 0.9]
    values = {
        "x": rounds,
        "series": [{"name": "mean", "values": alone}],
        "band": {"low": alone, "high": alone},
    }
    watched = show(chart("lines", values))
    expect(watched.page.locator(".canvas canvas").first).to_be_visible()
    option = watched.page.evaluate("echarts.getInstanceByDom(document.querySelector('.canvas')).getOption()")
    axis = option["xAxis"][0]
    assert (axis["type"], axis["min"], axis["max"]) == ("value", 1, 90)
    (dots,) = [one["data"] for one in option["series"] if one["type"] == "scatter"]
    assert dots == [[7, 0.3], [90, 0.9]]


def picture(page: Page) -> object:
    return page.evaluate("document.querySelector('.canvas canvas').toDataURL()")


def test_smoothing_clients_and_log_scale_change_the_picture(show: Callable[[str], Watched]) -> None:
    page = show(chart("lines", LINES)).page
    expect(page.locator(".canvas canvas").first).to_be_visible()
    seen = [picture(page)]
    page.get_by_label("Smoothing").fill("0.8")
    seen.append(picture(page))
    page.get_by_label("Each client").check()
    seen.append(picture(page))
    page.get_by_label("Log scale").check()
    seen.append(picture(page))
    assert len(set(seen)) == len(seen)


def test_numbers_and_picture_can_be_taken_away(show: Callable[[str], Watched]) -> None:
    page = show(chart("lines", LINES)).page
    with page.expect_download() as csv:
        page.get_by_role("button", name="CSV").click()
    assert csv.value.suggested_filename == "loss.csv"
    assert csv.value.path().read_text() == "round,loss\n1,2.1\n2,"
    with page.expect_download() as png:
        page.get_by_role("button", name="PNG").click()
    assert png.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_deed_waits_for_the_word(show: Callable[[str], Watched]) -> None:
    form = (
        '<form action="/projects" data-confirm="Cancel lungs-3?" data-confirm-word="lungs-3">'
        "<button>Cancel it</button></form>"
    )
    watched = show(form)
    page = watched.page
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("dialog", name="Cancel lungs-3?")).to_be_visible()
    watched.check()
    page.get_by_role("button", name="No, go back").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("button", name="Yes, do it")).to_be_disabled()
    page.get_by_label("Type lungs-3 to confirm").fill("lungs-3")
    page.get_by_role("button", name="Yes, do it").click()
    page.wait_for_url("**/projects**")


def test_a_log_follows_its_end_and_is_searched(show: Callable[[str], Watched]) -> None:
    text = "\n".join(f"line {number} &lt;b&gt;" for number in range(500))
    pre = f'<pre role="log" tabindex="0">{text}</pre>'
    watched = show(f'<div class="log" data-log><div class="controls"></div>{pre}</div>')
    page = watched.page
    log = page.get_by_role("log")
    assert log.evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2")
    page.get_by_label("Find in the log").fill("line 49")
    expect(page.get_by_text("11 found")).to_be_visible()
    expect(page.locator("mark")).to_have_count(11)
    page.get_by_label("Find in the log").fill("")
    page.get_by_role("button", name="Wrap").click()
    watched.check()


def test_an_id_is_copied_whole(show: Callable[[str], Watched]) -> None:
    parts: Any = _ENVIRONMENT.get_template("_parts.html").module
    watched = show(str(parts.copyable("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")))
    page = watched.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy bafkreih").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert str(page.evaluate("navigator.clipboard.readText()")).endswith("quvyku")
    watched.check()


def test_a_live_part_says_when_its_stream_is_away(show: Callable[[str], Watched]) -> None:
    watched = show(
        '<div data-live><span class="reconnecting" hidden>reconnecting…</span>'
        '<button hx-get="/stream-1" hx-target="#live">Begin</button>'
        '<div id="live"></div></div>'
    )
    page = watched.page
    live = '<div hx-sse:connect="/stream-2"></div>'
    page.route("**/stream-1", lambda route: route.fulfill(body=live, content_type="text/html"))
    page.route("**/stream-2", lambda route: route.abort())
    watched.expects_error = True
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    news = "id: 1\ndata: <p>Round 8</p>\n\n"
    page.unroute("**/stream-2")
    page.route("**/stream-2", lambda route: route.fulfill(body=news, content_type="text/event-stream"))
    expect(page.get_by_text("Round 8").first).to_be_visible(timeout=20_000)
    expect(page.get_by_text("reconnecting…")).to_be_hidden()


def test_a_live_part_is_asked_for_while_its_stream_is_away(show: Callable[[str], Watched]) -> None:
    watched = show(
        '<div data-live data-poll="/now" data-poll-into="#live">'
        '<span class="reconnecting">reconnecting…</span>'
        '<div id="live"></div></div>'
    )
    page = watched.page
    page.route("**/now", lambda route: route.fulfill(body="<p>Round 9</p>", content_type="text/html"))
    expect(page.get_by_text("Round 9")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    watched.check()


def test_the_menu_of_a_phone_opens_by_keyboard_and_closes_by_escape(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    watched.go("/")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    page.locator("summary", has_text="Menu").press("Enter")
    expect(page.get_by_role("navigation", name="Menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation", name="Menu")).to_be_hidden()
    page.locator("summary", has_text="Menu").press("Enter")
    page.get_by_role("navigation", name="Menu").get_by_role("link", name="Projects").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_the_first_tab_stop_skips_to_the_content(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.go("/projects")
    watched.page.keyboard.press("Tab")
    expect(watched.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    watched.page.keyboard.press("Enter")
    assert watched.page.url.endswith("#main")


def test_the_slider_changes_how_much_of_a_heat_map_shows(visit: Callable[..., Watched]) -> None:
    watched = visit("alice")
    watched.go("/runs/lungs-3/explain")
    heat = watched.page.locator("#overlay img").nth(1)
    expect(heat).to_have_css("opacity", "0.6")
    slider = watched.page.get_by_label("Opacity of the overlay")
    slider.focus()
    slider.press("End")
    expect(heat).to_have_css("opacity", "1")
    watched.check()

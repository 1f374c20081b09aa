"""The report's page: complete, safe whatever the chain says, alone, and quick also for long runs."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from report_tools import HOSTILE, cid, made_up

from foedus.client.report import write_report
from foedus.client.report.charts import MAX_CLIENTS, MAX_POINTS, Chart, contributions, curves, labels
from foedus.client.report.curves import draw_curves
from foedus.client.report.page import embedded_json, render_report
from foedus.client.report.words import duration, headline, number, short_id, utc
from foedus.rounds.home import Home
from foedus.rounds.runs import create_run
from foedus.rounds.spec import parse_spec
from foedus.rounds.summary import RunSummary

pytestmark = pytest.mark.slow

VOID = {"meta", "img", "br", "link", "input", "hr", "polyline"}


class Page(HTMLParser):
    """Reads a page strictly: every element must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    @property
    def data(self) -> dict[str, list[dict[str, object]]]:
        scripts = [a for tag, a in self.elements if tag == "script"]
        assert [a.get("type") for a in scripts] == ["application/json", None, None]
        found: dict[str, list[dict[str, object]]] = json.loads(self.texts["script"][0])
        return found


def charts_of(run: RunSummary) -> list[Chart]:
    return [*curves(run), *contributions(run), labels(run)]


@pytest.fixture(scope="module")
def run() -> RunSummary:
    return made_up(12)


@pytest.fixture(scope="module")
def page(run: RunSummary) -> Page:
    return Page(render_report(run))


def test_data_are_those_of_the_summary(run: RunSummary, page: Page) -> None:
    assert page.data["charts"] == json.loads(json.dumps([chart.to_json() for chart in charts_of(run)]))
    accuracy = next(chart for chart in curves(run) if chart.key == "accuracy")
    client = accuracy.series[1]
    assert client.name == "client-1"
    assert client.values == tuple(
        entry.training.local.accuracy for one in run.rounds for entry in one.clients[:1] if entry.training
    )
    assert accuracy.series[-1].values[4] == pytest.approx(run.rounds[4].test.accuracy)  # type: ignore[union-attr]


def test_global_curve_keeps_the_version_in_force_through_a_rejection(run: RunSummary) -> None:
    overall = curves(run)[2].series[0].values
    assert run.rounds[4].phase == "rejected"
    assert overall[4] == overall[3] != overall[5]


def test_everything_is_on_the_page(run: RunSummary, page: Page) -> None:
    titles = {str(attrs.get("title")) for _, attrs in page.elements}
    for one in run.rounds:
        assert one.candidate in titles
        assert {entry.tx for entry in one.clients if entry.tx} <= titles
    assert {member.address for member in run.members} <= titles
    assert {block.hash for block in run.blocks} <= titles
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {f"round-{one.number}" for one in run.rounds} <= ids
    assert sum(tag == "h1" for tag, _ in page.elements) == 1


def test_links_inside_the_page_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"]) for tag, attrs in page.elements if tag == "a"}
    assert links <= {f"#{name}" for name in ids}


def test_page_asks_the_network_for_nothing(page: Page) -> None:
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert not re.match(r"(?i)\s*(https?:|//)", attrs.get(name) or "")
    assert not re.search(r"(?i)url\(['\"]?(https?:|//)|@import", "".join(page.texts["style"]))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_hostile_texts_stay_texts() -> None:
    run = made_up(8, (HOSTILE, "__proto__", "client-3"), HOSTILE)
    text = render_report(replace(run, name=HOSTILE))
    page = Page(text)
    assert not any(tag == "img" and attrs.get("src") == "x" for tag, attrs in page.elements)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert "<img src=x" not in text
    assert HOSTILE in page.texts["h1"], "shown as it is, not run and not evaluated"
    names = [one["name"] for one in page.data["charts"][0]["series"]]  # type: ignore[attr-defined]
    assert names[1:4] == sorted((HOSTILE, "__proto__", "client-3"))


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded_json({"a": "</script><!--&\u2028"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script><!--&\u2028"}


@pytest.mark.parametrize("run", [made_up(3), made_up(45), made_up(8, (HOSTILE, "$x^{", "_c"), HOSTILE)])
def test_picture_is_a_picture(run: RunSummary) -> None:
    pixels = imread(BytesIO(draw_curves(run)), format="png")
    height, width, _ = pixels.shape
    assert 1200 < width < 2400
    assert 400 < height < 1200
    assert len(np.unique(pixels[:, :, :3] @ (1, 256, 65536))) > 50, "something is drawn"


def test_thousand_rounds_are_light() -> None:
    text = render_report(made_up(1000))
    assert len(text) < 10_000_000
    assert text.count('class="group"') == 5 + 5 + 15  # rounds, versions (801 of them), blocks, 200 each
    assert 'id="round-1"' in text


def test_series_of_very_long_runs_are_sampled() -> None:
    run = made_up(2 * MAX_POINTS + 1)
    for chart in [*curves(run), *contributions(run)]:
        assert len(chart.x) == MAX_POINTS
        assert all(len(series.values) == MAX_POINTS for series in chart.series)
        assert (chart.x[0], chart.x[-1]) == (1, 2 * MAX_POINTS + 1)


def test_many_clients_are_drawn_as_mean_and_range() -> None:
    run = made_up(2, tuple(f"client-{n:03}" for n in range(100)))
    assert [s.name for s in curves(run)[0].series[1:]] == [
        "lowest client",
        "mean of clients",
        "highest client",
    ]
    assert len(labels(run).series) == MAX_CLIENTS
    Page(render_report(run))


def test_run_without_rounds_has_a_report(tmp_path: Path) -> None:
    home = Home(tmp_path)
    name = create_run(home, parse_spec({"rounds": 4}))
    path = write_report(home, name)
    assert path == home.run_folder(name) / "report.html"
    assert path.with_name("curves.png").read_bytes().startswith(b"\x89PNG")
    text = path.read_text(encoding="utf-8")
    Page(text)
    assert f"foedus resume {name}" in text
    assert str(tmp_path) not in text, "the page may be passed on"


def test_report_of_a_cancelled_run_tells_why() -> None:
    text = render_report(replace(made_up(2), state="cancelled", reason="a < b"))
    assert "It was cancelled: a &lt; b" in text


def test_report_of_an_unfinished_run_tells_how_to_go_on() -> None:
    run = made_up(6)
    last = replace(run.rounds[-1], phase="voting", ended_at=None, ended_block=None, test=None)
    text = render_report(replace(run, state="unfinished", rounds_planned=9, rounds=(*run.rounds[:-1], last)))
    Page(text)
    assert "foedus resume demo-1" in text
    assert "5 of 9 rounds" in text


def test_report_goes_where_it_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    target = tmp_path / "elsewhere" / "my.html"
    assert write_report(home, create_run(home, parse_spec({})), target) == target
    assert sorted(path.name for path in target.parent.iterdir()) == ["curves.png", "my.html"]


def test_headline_counts_rounds() -> None:
    assert headline(made_up(10)).startswith(
        "10 rounds, 8 accepted and 2 rejected: 3 clients trained one model"
    )
    assert headline(replace(made_up(1), rounds_planned=2)).startswith("1 of 2 rounds, 1 accepted:")


@pytest.mark.parametrize(
    ("model", "name", "accuracy"),
    [
        ("unet", "Dice", "Share of right pixels."),
        ("surrogate", "R²", "The same as R²."),
        ("made-elsewhere", "score", "Share of right answers."),
    ],
)
def test_scores_are_called_by_what_the_model_learns(model: str, name: str, accuracy: str) -> None:
    one = made_up(10)
    run = replace(one, settings={**one.settings, "model": {"name": model}})
    text = render_report(run)
    assert f"{name}, test set" in text
    assert f" and {name} 0." in headline(run)
    assert "F1" not in text.split("<body")[1].split("<script")[0]
    assert [(chart.title, accuracy in chart.caption) for chart in curves(run)] == [
        ("Loss", False),
        (name, False),
        ("Accuracy", True),
    ]


def test_data_folder_is_shown_without_its_place() -> None:
    run = made_up(1)
    data = {**run.settings["data"], "folder": "/home/somebody/images"}  # type: ignore[dict-item]
    text = render_report(replace(run, settings={**run.settings, "data": data}))
    assert "somebody" not in text
    assert "…/images" in text


def test_words() -> None:
    assert short_id(cid(3)) == "bafkrei00…000003"
    assert [number(v) for v in (None, 0.0, 1.5, 12345.6, 1e-7)] == [
        "–",
        "0.000",
        "1.500",
        "12,346",
        "1.000e-07",
    ]
    assert [duration(v) for v in (1.25, 61, 7200, 200_000)] == ["1.25 s", "1 min 1 s", "2 h 0 min", "2 d 7 h"]
    assert utc(0) == "1970-01-01 00:00:00 UTC"
    assert utc(2**200) == utc(None) == "–"

"""Page and picture of a comparison: complete, safe whatever labels say, and alone."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from compare_tools import HOSTILE, a_run, made_up, summed
from matplotlib.image import imread

from foedus.client.compare import Comparison
from foedus.client.compare.page import render_comparison
from foedus.client.compare.plots import draw_comparison

pytestmark = pytest.mark.slow

VOID = {"meta", "img", "br"}
LABELS = (HOSTILE, "__proto__", "_c", "$x^{", "=1+1", "漢字 🙂")


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

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def test_everything_is_on_the_page() -> None:
    comparison = made_up()
    page = Page(render_comparison(comparison))
    told = json.loads(page.texts["script"][0])

    assert [chart["key"] for chart in told["charts"]] == ["accuracy", "f1", "loss"]
    curve = told["charts"][0]["curves"][0]
    assert curve["name"] == "FedAvg"
    assert curve["mean"] == list(comparison.accuracy[0].mean)
    assert curve["std"] == list(comparison.accuracy[0].std)
    assert told["target"] == 0.5
    cells = [text for tag in ("td", "th", "span") for text in page.texts[tag]]
    assert {"FedProx µ=0.1", "demo-3", "36/0/0", "rounds to 0.5"} <= set(cells)
    best = [attrs for tag, attrs in page.elements if tag == "td" and attrs.get("class") == "best"]
    assert len(best) == 4, "accuracy, F1, loss, rounds to the target"


def test_page_asks_the_network_for_nothing_and_runs_only_its_own_scripts() -> None:
    page = Page(render_comparison(made_up()))
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert not re.match(r"(?i)\s*(https?:|//)", attrs.get(name) or "")
    assert not re.search(r"(?i)url\(['\"]?(https?:|//)|@import", "".join(page.texts["style"]))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; script-src 'sha256-")


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(render_comparison(made_up()))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]

    assert len(ids) == len(set(ids))
    assert {str(attrs["href"]) for tag, attrs in page.elements if tag == "a"} <= {f"#{name}" for name in ids}


def test_hostile_texts_stay_texts() -> None:
    comparison = made_up(LABELS, text=HOSTILE)
    failed = a_run(HOSTILE, 4, [], state="failed", reason=HOSTILE, run=None)
    text = render_comparison(summed([*comparison.runs, failed], LABELS, (1, 2, 3, 4), 12, text=HOSTILE))
    page = Page(text)

    assert "<img src=x" not in text
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    told = json.loads(page.texts["script"][0])
    assert [curve["name"] for curve in told["charts"][0]["curves"]] == list(LABELS)
    assert HOSTILE in page.texts["td"], "shown as it is, not run and not evaluated"


def test_unequal_starts_are_told() -> None:
    runs = [a_run("A", 1, [0.5]), a_run("B", 1, [0.5], data="other")]
    text = render_comparison(summed(runs, ("A", "B"), (1,), 1))

    assert "Not on equal terms: B had other data than A." in text
    assert "their CIDs are equal" not in text
    assert "their CIDs are equal" in render_comparison(made_up())


def test_page_without_any_completed_run_has_no_charts() -> None:
    page = Page(render_comparison(summed([a_run("A", 1, [], state="missing", run=None)], ("A",), (1,), 3)))

    assert page.texts["p"].count("Nothing to draw yet.") == 3


@pytest.mark.parametrize(
    "comparison",
    [
        made_up(),
        made_up(seeds=(1,), rounds=1, target=None),
        made_up(LABELS, rounds=60),
        summed([a_run("A", 1, [None, 0.5])], ("A",), (1,), 2),
        summed([], ("A",), (1,), 2),
    ],
)
def test_picture_is_a_picture(comparison: Comparison) -> None:
    pixels = imread(BytesIO(draw_comparison(comparison)), format="png")
    height, width, _ = pixels.shape

    assert 1200 < width < 2400
    assert 400 < height < 1200
    assert len(np.unique(pixels[:, :, :3] @ (1, 256, 65536))) > 50, "something is drawn"


def test_entries_without_figures_are_not_in_the_picture() -> None:
    run = a_run("A", 1, [0.4, 0.5])
    alone, planned = (summed([run], labels, (1,), 2) for labels in (("A",), ("A", "B")))
    assert draw_comparison(planned) == draw_comparison(alone)

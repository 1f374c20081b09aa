"""Turns a summary into the page: one HTML file with everything inside, that asks the network for nothing.

Texts in it come from the chain and from job folders, so from anybody: the template escapes all of them, data
for the script is JSON that cannot end its element, and the page's own policy lets no other script run.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foedus import __version__
from foedus.client.report import words
from foedus.client.report.charts import contributions, curves, labels
from foedus.client.report.tables import (
    GLANCE_CLIENTS,
    MAX_ENTRIES,
    cards,
    glance,
    glance_rounds,
    grouped,
    newest_rounds,
    settings,
)
from foedus.core.canonical import Json
from foedus.rounds.summary import RunSummary

COLOURS: Final = 8  # as many as report.css has
ECHARTS: Final = "echarts-6.1.0.min.js"
_ESCAPES: Final = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def render_report(run: RunSummary, picture: bytes = b"") -> str:
    """Return the page. `picture` is the PNG of the curves, for readers without scripts."""
    charts = {chart.key: chart for chart in [*curves(run), *contributions(run), labels(run)]}
    data: dict[str, Json] = {"run": run.name, "charts": [chart.to_json() for chart in charts.values()]}
    return (
        environment("foedus.client.report")
        .get_template("report.html")
        .render(
            **_lists(run),
            **inlined(asset("foedus.client.report", "report.js")),
            run=run,
            charts=charts,
            cards=cards(run),
            settings=settings(run),
            colour={client: index % COLOURS for index, client in enumerate(run.clients)},
            data=embedded_json(data),
            picture=b64encode(picture).decode(),
            foedus_version=__version__,
        )
    )


def _lists(run: RunSummary) -> dict[str, object]:
    """Return what may be long, cut to what a page can carry and folded into groups."""
    blocks = list(reversed(run.blocks[-MAX_ENTRIES:]))
    rounds, versions = newest_rounds(run), run.lineage[:MAX_ENTRIES]
    return {
        "rounds": grouped(rounds, lambda a, b: f"Rounds {a.number:,} to {b.number:,}", open_first=False),
        "rounds_shown": len(rounds),
        "versions": grouped(
            versions, lambda a, b: f"Versions {a.version:,} to {b.version:,}", open_first=True
        ),
        "blocks": grouped(blocks, lambda a, b: f"Blocks {a.number:,} to {b.number:,}", open_first=True),
        "glance": glance(run),
        "glance_rounds": glance_rounds(run),
        "glance_clients": GLANCE_CLIENTS,
    }


def inlined(script: str, style: str = "") -> dict[str, str]:
    """Return style and scripts of a page, and the policy that lets only these scripts run.

    `script` and `style` (on top of the report's) are files of ours, never anything from outside.
    """
    library, common = asset("foedus.server", f"vendor/{ECHARTS}"), asset("foedus.client.report", "report.css")
    return {
        "policy": _policy(library, script),
        "library": Markup(library),  # noqa: S704 — files of this package
        "script": Markup(script),  # noqa: S704
        "style": Markup(common + style),  # noqa: S704
    }


def embedded_json(value: Mapping[str, Json]) -> Markup:
    """Return JSON that is safe inside a script element: whatever it says, it cannot end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII only
    return Markup(text.translate(_ESCAPES))  # noqa: S704 — no character that means something in HTML is left


def environment(*packages: str) -> Environment:
    """Return the templates of some packages, all of them escaping whatever they are given."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (words.short_id, words.number, words.score, words.percent, words.count, words.utc, words.duration)
    environment.filters.update({function.__name__: function for function in shown})
    environment.globals.update(
        {one.__name__: one for one in (words.headline, words.figures_of, words.votes, words.registered)}
    )
    return environment


def asset(package: str, name: str) -> str:
    """Return the text of a static file of a package."""
    return files(package).joinpath("static", name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Return the page's Content-Security-Policy: these scripts by their hash, and nothing from elsewhere."""
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )

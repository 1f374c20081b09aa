"""From a template and its values to a page."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy.orm import Session

from foedus.server.http import actor_of, platform_of
from foedus.server.listing import Kind, Listing, Query, as_csv, export, find, plain
from foedus.server.pages.notices import Notice, give, notice_in, take_back
from foedus.version import VERSION

FOLDER: Final = Path(__file__).parents[1]
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "ago": ago,
        "short": short,
        "bytes": as_bytes,
        "utc": as_utc,
        "fill": fill,
        "data": as_data,
        "shown": shown,
    }
    env.globals |= {"version": VERSION}
    return env


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:  # noqa: ANN401
    """Render a page, or a part of one, whose template's name begins with an underscore.

    Every template is given `request`, `actor`, `platform`, `path` and `notice` besides `values`.
    """
    notice = notice_in(request)
    text = rendered(
        template,
        request=request,
        actor=actor_of(request),
        platform=platform_of(request),
        path=request.url.path,
        notice=notice,
        **values,
    )
    answer = HTMLResponse(text, status)
    if notice and not Path(template).name.startswith("_"):
        take_back(answer)
    return answer


def rendered(template: str, /, **values: Any) -> str:  # noqa: ANN401
    """Render a template with these values and no others: parts of pages that are the same for everybody."""
    return _ENVIRONMENT.get_template(template).render(**values)


def list_page(
    request: Request,
    db: Session,
    listing: Listing,
    template: str = "list.html",
    /,
    **values: Any,  # noqa: ANN401
) -> Response:
    """Answer with a list: as a page, or as `?format=csv` or `?format=json` to take away.

    A request by htmx for the table alone (`HX-Target: list`) gets just that.
    """
    parameters = dict(request.query_params)
    form = parameters.pop("format", "html")
    query = Query.of(parameters, listing)
    if form in ("csv", "json"):
        return _taken_away(listing, export(db, listing, query), form)
    found = find(db, listing, query)
    is_part = request.headers.get("HX-Target", "").endswith("list")
    return page(request, "_list.html" if is_part else template, found=found, listing=listing, **values)


def _taken_away(listing: Listing, rows: list[Mapping[str, Any]], form: str) -> Response:
    name = listing.title.lower().replace(" ", "-")
    headers = {"Content-Disposition": f'attachment; filename="{quote(name)}.{form}"'}
    if form == "csv":
        return Response(as_csv(listing, rows), media_type="text/csv; charset=utf-8", headers=headers)
    items = [{key: plain(value) for key, value in row.items()} for row in rows]
    return JSONResponse({"items": items, "total": len(items), "next": None}, headers=headers)


def see(path: str, notice: Notice | None = None) -> RedirectResponse:
    """Send the browser to a page of ours after a form was done, which says so."""
    answer = RedirectResponse(path, status_code=303)
    if notice:
        give(answer, notice)
    return answer


# --- filters ---


def ago(moment: datetime.datetime | int | None, now: datetime.datetime | None = None) -> Markup:
    """Say how long ago a moment was, with the moment itself in UTC for whoever points at it."""
    if moment is None:
        return Markup("–")
    if isinstance(moment, int):  # block time
        moment = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    seconds = ((now or datetime.datetime.now(datetime.UTC)) - moment).total_seconds()
    text, past = "just now", abs(seconds)
    for unit, size in _UNITS:
        if past >= size:
            text = f"{past // size:.0f} {unit}"
            text = f"{text} ago" if seconds > 0 else f"in {text}"
            break
    exact = moment.astimezone(datetime.UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact.isoformat(), as_utc(exact), text)


def as_utc(moment: datetime.datetime | int | None) -> str:
    """Write a moment in UTC."""
    if moment is None:
        return "–"
    if isinstance(moment, int):
        moment = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(text: str | None, size: int = 14) -> str:
    """Shorten an id in the middle."""
    if not text:
        return "–"
    return text if len(text) <= size else f"{text[: size - 6]}…{text[-5:]}"


def shown(value: Any, kind: Kind) -> Markup | str:  # noqa: ANN401 - whatever a column holds
    """Show a value of a list as its column's kind asks for."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    match kind:
        case "time":
            return ago(value)
        case "id":
            return Markup('<code title="{}">{}</code>').format(value, short(str(value)))
        case "state":
            return Markup('<span class="state {0}">{0}</span>').format(value)
        case "score":
            return f"{value:.4f}"
        case "number":
            return f"{value:,}"
        case "bytes":
            return as_bytes(value)
        case "points":
            return f"{int(value) / 1e18:,.2f}"
        case "share":
            return f"{value:.0%}"
        case "curve":
            return curve(list(value.values()))
    return str(value)


def curve(values: Sequence[float]) -> Markup | str:
    """Draw values as a small curve that says where it begins and ends."""
    if not values:
        return "–"
    step, highest = 100 / max(1, len(values) - 1), max(values) or 1.0
    points = " ".join(f"{i * step:.1f},{19 - 18 * value / highest:.1f}" for i, value in enumerate(values))
    said = f"{len(values)} values, from {values[0]:.2f} to {values[-1]:.2f}"
    return Markup(
        '<svg viewBox="0 0 100 20" width="100" height="20" role="img" aria-label="{}"><polyline points="{}" '
        'fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    ).format(said, points)


def as_bytes(count: int | None) -> str:
    """Write a number of bytes for people."""
    if count is None:
        return "–"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def fill(pattern: str, row: Mapping[str, Any]) -> str:
    """Fill a link such as `/runs/{name}` with a row's values, each made harmless for a path."""
    return pattern.format_map({key: quote(str(value), safe="") for key, value in row.items()})


def as_data(value: Any) -> Markup:  # noqa: ANN401 - whatever JSON has
    """Write data for a script into `<script type="application/json">`, which `<` could end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no `<` is left in it


_ENVIRONMENT: Final = _environment()

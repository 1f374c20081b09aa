"""The web application: routes, what surrounds them, and how errors are answered."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from foedus.core.errors import FoedusError
from foedus.core.faults import in_words
from foedus.server import health
from foedus.server.api import accounts as api_accounts
from foedus.server.api import admin as api_admin
from foedus.server.api import applications as api_applications
from foedus.server.api import chain as api_chain
from foedus.server.api import datasets as api_datasets
from foedus.server.api import explain as api_explain
from foedus.server.api import jobs as api_jobs
from foedus.server.api import members as api_members
from foedus.server.api import metrics as api_metrics
from foedus.server.api import models as api_models
from foedus.server.api import project_data as api_project_data
from foedus.server.api import projects as api_projects
from foedus.server.api import rewards as api_rewards
from foedus.server.api import runs as api_runs
from foedus.server.api import search as api_search
from foedus.server.api import votes as api_votes
from foedus.server.api.description import Api
from foedus.server.api.idempotency import Idempotency
from foedus.server.auth.signing import SignIn
from foedus.server.errors import BadRequest, Conflict, HttpError, Invalid, NotFound, SignInNeeded, TooMany
from foedus.server.guards import BodyLimit, Csrf, Hosts, SecurityHeaders
from foedus.server.live import Hub
from foedus.server.logs import API, Requests
from foedus.server.metrics import Metrics
from foedus.server.pages import (
    account,
    admin,
    applications,
    chain,
    curves,
    datasets,
    explain,
    frame,
    home,
    jobs,
    live,
    logs,
    members,
    models,
    new_run,
    overview,
    projects,
    rewards,
    runs,
    search,
    sign_in,
    votes,
)
from foedus.server.pages.frame import local_path
from foedus.server.pages.render import FOLDER, page, see
from foedus.server.platform import Platform

PAGES: Final = (
    health.router,
    frame.router,
    home.router,
    projects.router,
    chain.router,
    models.router,
    sign_in.router,
    rewards.router,
    runs.router,
    new_run.router,
    live.router,
    logs.router,
    curves.router,
    votes.router,
    datasets.router,
    account.router,
    members.router,
    search.router,
    overview.router,
    admin.router,
    applications.router,
    jobs.router,
    explain.router,
)
RESOURCES: Final = (
    api_projects.router,
    api_chain.router,
    api_models.router,
    api_rewards.router,
    api_runs.router,
    api_metrics.router,
    api_votes.router,
    api_datasets.router,
    api_accounts.router,
    api_members.router,
    api_search.router,
    api_project_data.router,
    api_admin.router,
    api_applications.router,
    api_jobs.router,
    api_explain.router,
)


def create_app(platform: Platform) -> FastAPI:
    """Return the application for an opened platform."""
    app = Api(RESOURCES, lifespan=_life)
    app.state.platform = platform
    app.state.hub = Hub(platform)
    app.state.metrics = metrics = Metrics(platform)
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    # the last one added sees a request first
    app.add_middleware(Idempotency, platform=platform)
    app.add_middleware(SignIn, platform=platform)
    app.add_middleware(Csrf, public_url=platform.server.public_url)
    app.add_middleware(BodyLimit, limit=int(platform.server.body_limit_mb * 1_000_000))
    app.add_middleware(Hosts, public_url=platform.server.public_url)
    app.add_middleware(Requests, count=metrics.count, listen=metrics.listen, answer=_answer)
    app.add_middleware(SecurityHeaders)
    for kind in (FoedusError, DataError, OverflowError, UnicodeEncodeError):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(Exception, _answer)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.hub.close()


def _answer(request: Request, error: Exception) -> Response:
    """Answer with an error: as JSON for programs, as a page for people, who are sent to sign in first."""
    found = _known(error)
    headers = _headers(found)
    if request.url.path.startswith(API):
        return JSONResponse(_as_json(found), found.status, headers)
    if isinstance(found, SignInNeeded) and request.method == "GET" and not request.headers.get("HX-Request"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see(f"/sign-in?next={quote(wanted, safe='')}")
    answer = page(request, "error.html", found.status, error=found, came_from=_came_from(request))
    answer.headers.update(headers)
    return answer


def _came_from(request: Request) -> str:
    """Return the page of ours that a form was on; else the start page."""
    url = urlsplit(request.headers.get("referer", ""))
    if url.netloc != request.url.netloc:
        return "/"
    return local_path(url.path + (f"?{url.query}" if url.query else ""))


def _known(error: Exception) -> HttpError:
    """Return what the outside is told about an error; of defects, nothing but that they are in the log."""
    match error:
        case HttpError():
            return error
        case RequestValidationError():
            return Invalid(dict(_described(fault) for fault in error.errors()))
        case HTTPException(status_code=404 | 405):
            return NotFound()
        case HTTPException():
            found = HttpError(str(error.detail))
            found.status = error.status_code
            return found
        case DataError() | OverflowError() | UnicodeEncodeError():  # for example a NUL in a text
            return BadRequest("a value has characters or a size that cannot be stored")
        case FoedusError():
            return Conflict(error.message, error.hint)
    return HttpError("something went wrong on our side", "It is in the log of the platform.")


def _described(fault: Mapping[str, Any]) -> tuple[str, str]:
    """Return the field that one of Pydantic's errors is about, or the whole body, and what is wrong."""
    location = [str(part) for part in fault["loc"]]
    if fault["type"] == "json_invalid":
        return "body", f"must be JSON, which this is not from character {location[-1]} on"
    if location == ["body"] and fault["type"] != "missing":
        return "body", "must be a JSON object {…}, sent as Content-Type: application/json"
    inner = [part for part in location if part not in ("body", "query", "path")]
    return ".".join(inner or location), in_words(fault)


def _as_json(error: HttpError) -> dict[str, Any]:
    """Return the one shape of all errors."""
    fields = error.fields if isinstance(error, Invalid) else {}
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint, "fields": fields}}


def _headers(error: HttpError) -> Mapping[str, str]:
    if isinstance(error, SignInNeeded):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.retry_s)} if isinstance(error, TooMany) else {}

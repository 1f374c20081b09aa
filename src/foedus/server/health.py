"""Whether the platform is alive and ready, and its metrics: for load balancers and monitoring.

These answer without a sign-in, and while the database does not. They tell of parts, never of people.
"""

import hmac
from dataclasses import asdict, dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final, cast

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.server.db import ChainHead, Worker
from foedus.server.db.engine import newest_revision, revision_of
from foedus.server.errors import Denied, NotFound, Unavailable
from foedus.server.http import PlatformDep
from foedus.server.metrics import Metrics
from foedus.server.platform import Platform

router = APIRouter()

WORKER_S: Final = 30
"""A worker that was not seen for longer is taken for gone."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the platform, whether it is as it must be, and why it is taken for that."""

    name: str
    is_ok: bool
    why: str


def parts(platform: Platform) -> tuple[Part, ...]:
    """Look at each part. Waits no longer than the database does."""
    try:
        return (*_database(platform), _store(platform))
    except SQLAlchemyError:
        return (Part("database", False, "it does not answer"), _store(platform))


def _database(platform: Platform) -> tuple[Part, ...]:
    found, needed = revision_of(platform.engine), newest_revision()
    if found != needed:
        why = f"it is at revision {found or 'none'}, this version needs {needed}"
        return (Part("database", False, why),)
    with platform.reading() as db:
        seen = db.scalar(select(func.max(Worker.seen_at)).where(Worker.state != "stopped"))
        block = db.scalar(select(func.max(ChainHead.block)))
    worker = Part("worker", False, "none is there: start one with foedus worker")
    if seen is not None and platform.now() - seen <= timedelta(seconds=WORKER_S):
        worker = Part("worker", True, f"seen in the last {WORKER_S} s")
    elif seen is not None:
        worker = Part("worker", False, f"none was seen in the last {WORKER_S} s")
    index = "no block is in the index yet" if block is None else f"up to block {block}"
    return (Part("database", True, f"at revision {found}"), worker, Part("index", True, index))


def _store(platform: Platform) -> Part:
    folder = platform.home.store
    if folder.is_dir():
        return Part("store", True, "the folder is there")
    if platform.home.root.is_dir():
        return Part("store", True, "nothing is stored yet")
    return Part("store", False, "the home folder is gone")


@router.get("/healthz")
def alive() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "alive"}


@router.get("/readyz")
def ready(platform: PlatformDep) -> JSONResponse:
    """Say of each part whether it is ready: 200 when all are, else 503."""
    found = parts(platform)
    is_ready = all(part.is_ok for part in found)
    body: dict[str, Any] = {"is_ready": is_ready, "parts": [asdict(part) for part in found]}
    return JSONResponse(body, 200 if is_ready else 503)


@router.get("/metrics")
def metrics(request: Request, platform: PlatformDep) -> Response:
    """Give the metrics: to whoever has the token of `metrics_token_file`, else to this machine alone."""
    _require_reader(request, platform)
    found = cast(Metrics, request.app.state.metrics)
    return Response(found.text(), media_type=CONTENT_TYPE_LATEST)


def _require_reader(request: Request, platform: Platform) -> None:
    file = platform.server.metrics_token_file
    if file is None:
        if not _is_loopback(request.client.host if request.client else ""):
            raise NotFound
        return
    try:
        wanted = file.read_text().strip()
    except OSError as error:
        raise Unavailable("the file of server.metrics_token_file cannot be read") from error
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    if not wanted or kind.lower() != "bearer" or not hmac.compare_digest(said.encode(), wanted.encode()):
        raise Denied("the metrics ask for their token", "Send it as a bearer token.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

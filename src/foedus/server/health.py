"""Whether the platform is alive and ready, and its metrics: for load balancers and monitoring.

These answer without a sign-in, and while the database does not. They tell of parts, never of people.
"""

import hmac
from ipaddress import ip_address
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from foedus.server.errors import Denied, NotFound, Unavailable
from foedus.server.http import PlatformDep
from foedus.server.metrics import Metrics
from foedus.server.platform import Platform
from foedus.server.services.health import parts

router = APIRouter()


@router.get("/healthz")
def alive() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "alive"}


@router.get("/readyz")
def ready(platform: PlatformDep) -> JSONResponse:
    """Say of each part whether it is ready: 200 when all are, else 503."""
    found = parts(platform)
    is_ready = all(part.is_ok for part in found)
    told = [{"name": part.name, "is_ok": part.is_ok, "why": part.why} for part in found]
    body: dict[str, Any] = {"is_ready": is_ready, "parts": told}
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

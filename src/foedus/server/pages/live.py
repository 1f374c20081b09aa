"""Live parts of pages: one stream for each page that watches a run, and the same part to ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foedus.server.auth.actors import Actor
from foedus.server.db import Run
from foedus.server.http import ActorDep, Db, platform_of
from foedus.server.live import Hub
from foedus.server.pages.render import page, rendered
from foedus.server.platform import Platform
from foedus.server.services import rounds, runs

router = APIRouter()

_LASTS_S: Final = 60.0
_HEADERS: Final = {"X-Accel-Buffering": "no"}  # proxies are to pass on each message at once


@router.get("/runs/{name}/now")
def now(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """Show the live part of a run as it is now."""
    run = runs.find_run(db, actor, name)
    return page(request, "runs/_now.html", run=run, round=rounds.present_round(db, run))


@router.get("/runs/{name}/stream")
async def stream(request: Request, actor: ActorDep, name: str) -> Response:
    """Stream the live part of a run whenever something happens in it, until it is over.

    A stream lasts a minute: browsers take it up again by themselves and are asked anew who they are, so
    nobody watches for long what it may no longer see.
    """
    platform = platform_of(request)
    run_id = await run_sync(_id_of, platform, actor, name)
    told = request.headers.get("last-event-id", "")
    after = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else -1
    hub = cast(Hub, request.app.state.hub)
    messages = events(platform, hub, run_id, after, _LASTS_S)
    return StreamingResponse(messages, media_type="text/event-stream", headers=_HEADERS)


async def events(
    platform: Platform, hub: Hub, run_id: int, after: int, lasts_s: float, beat_s: float = 15.0
) -> AsyncIterator[str]:
    """Yield messages: the part, with the id of the newest event it shows; `over` when it is the last one.

    It ends when the run is over, or at the first message or sign of life after `lasts_s`.
    """
    yield "retry: 2000\n\n"
    clock = asyncio.get_running_loop().time
    ends_at = clock() + lasts_s
    async with aclosing(hub.news(run_id, beat_s)) as news:
        async for newest in news:
            if newest is None:
                yield ": still here\n\n"
            else:
                part, is_over = await hub.shared(run_id, newest, partial(_part, platform))
                if newest > after or is_over:
                    yield message(part, newest)
                if is_over:
                    yield "event: over\ndata: over\n\n"
                    return
            if clock() >= ends_at:
                return


def message(part: str, newest: int) -> str:
    """Write a message of the stream."""
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"id: {newest}\n{lines}\n"


def _id_of(platform: Platform, actor: Actor, name: str) -> int:
    with platform.reading() as db:
        return runs.find_run(db, actor, name).id


def _part(platform: Platform, run_id: int) -> tuple[str, bool]:
    """Render the live part of a run; no transaction is open afterwards."""
    with platform.reading() as db:
        run = db.get_one(Run, run_id)
        values: dict[str, Any] = {"run": run, "round": rounds.present_round(db, run)}
        return rendered("runs/_now.html", **values), run.is_over

"""Live parts of pages: one stream for each page that watches something, and the same part to ask for."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.db import Run
from foedus.server.http import ActorDep, Db, PlatformDep, platform_of
from foedus.server.live import ANYTHING, Hub
from foedus.server.pages.render import page, rendered
from foedus.server.platform import Platform
from foedus.server.services import news, rounds, runs
from foedus.server.services.pace import pace_of

router = APIRouter()

_LASTS_S: Final = 60.0
_QUIET_S: Final = 2.0  # between two news: a page that asks anew costs more than a message
_HEADERS: Final = {"X-Accel-Buffering": "no"}  # proxies are to pass on each message at once


@router.get("/runs/{name}/now")
def now(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str) -> Response:
    """Show the live part of a run as it is now: for pages whose stream does not come through."""
    run = runs.find_run(db, actor, name)
    return page(request, "runs/_now.html", **now_of(db, run, platform.now()))


def now_of(db: Session, run: Run, moment: datetime.datetime) -> dict[str, Any]:
    """Return what the live part of a run needs."""
    return {"run": run, "round": rounds.present_round(db, run), "pace": pace_of(db, run, moment)}


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
    async with aclosing(hub.news(run_id, beat_s)) as told:
        async for newest in told:
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


@router.get("/news/stream")
async def news_stream(request: Request, actor: ActorDep) -> Response:
    """Tell, for a minute, whenever something changes that the actor may see: pages then ask for it anew."""
    platform, hub = platform_of(request), cast(Hub, request.app.state.hub)
    known = request.headers.get("last-event-id", "")
    messages = news_events(platform, hub, actor, known, _LASTS_S)
    return StreamingResponse(messages, media_type="text/event-stream", headers=_HEADERS)


async def news_events(
    platform: Platform, hub: Hub, actor: Actor, known: str, lasts_s: float, beat_s: float = 15.0
) -> AsyncIterator[str]:
    """Yield the message `news` after each change, at most one in a while.

    Who takes the stream up again with the mark it knows is told what it missed. It ends at the first message
    or sign of life after `lasts_s`.
    """
    yield ": hello\n\n"
    clock = asyncio.get_running_loop().time
    ends_at = clock() + lasts_s
    async with aclosing(hub.news(ANYTHING, beat_s)) as changes:
        async for number in changes:
            if number is None:
                yield ": still here\n\n"
            else:
                mark = await run_sync(_mark, platform, actor)
                if known and mark != known:
                    yield f"id: {mark}\nevent: news\ndata: {mark}\n\n"
                    await asyncio.sleep(_QUIET_S)
                elif not known:  # the page was made just now
                    yield f"id: {mark}\nevent: since\ndata: {mark}\n\n"
                known = mark
            if clock() >= ends_at:
                return


def message(part: str, newest: int) -> str:
    """Write a message of the stream."""
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"id: {newest}\n{lines}\n"


def _id_of(platform: Platform, actor: Actor, name: str) -> int:
    with platform.reading() as db:
        return runs.find_run(db, actor, name).id


def _mark(platform: Platform, actor: Actor) -> str:
    with platform.reading() as db:
        return news.mark(db, actor)


def _part(platform: Platform, run_id: int) -> tuple[str, bool]:
    """Render the live part of a run; no transaction is open afterwards."""
    with platform.reading() as db:
        run = db.get_one(Run, run_id)
        return rendered("runs/_now.html", **now_of(db, run, platform.now())), run.is_over

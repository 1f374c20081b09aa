"""What is noted of each request: one line of JSON, counts and times; and the answer to a defect.

Lines tell routes, never addresses, which can hold secrets; words of others pass `redacted`.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API: Final = "/api/v1"
"""Where the API begins."""
_LOG: Final = logging.getLogger(__name__)
_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_SECRETS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(fed_[0-9a-f]+_)[\w-]+",
        r"((?:bearer|basic)\s+)[\w.~+/=-]+",
        r"((?:__Host-)?foedus=)[^;\s\"']+",
        r"(://[^:/@\s]*:)[^@\s]+(?=@)",
        r"((?:password|secret|token|code|state|key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&;,}]+",
    )
)


def redacted(text: str) -> str:
    """Return a text with what looks like tokens, cookies and passwords replaced by `…`."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1…", text)
    return text


class JsonLines(logging.Formatter):
    """Writes each record as one line of JSON; requests bring their own keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        line.update(getattr(record, "request", {}))
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def speak_json(logger: logging.Logger) -> None:
    """Have all handlers of a logger write lines of JSON."""
    for handler in logger.handlers:
        handler.setFormatter(JsonLines())


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that is over, for whoever counts."""

    route: str
    method: str
    status: int
    seconds: float


Count = Callable[[Answered], None]
"""Is told of every request once it is over."""
Listen = Callable[[int], None]
"""Is told +1 when a browser begins to follow a stream of events, and -1 at its end."""


class Requests:
    """Gives each request an id, notes how it went, and answers when a defect left it without an answer."""

    def __init__(
        self, app: ASGIApp, count: Count, listen: Listen, answer: Callable[[Request, Exception], Response]
    ) -> None:
        self._app, self._count, self._listen, self._answer = app, count, listen, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. A defect is answered with 500 and raised on, so that it gets into the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("x-request-id", "")
        name = said if _ID.fullmatch(said) else str(uuid4())
        begun, status, is_stream = time.monotonic(), 0, False

        async def noted(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                if headers.get("content-type", "").startswith("text/event-stream"):
                    is_stream = True
                    self._listen(1)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if not status:
                await self._answer(Request(scope), error)(scope, receive, noted)
            raise
        finally:
            if is_stream:
                self._listen(-1)
            answered = Answered(route_of(scope), scope["method"], status, time.monotonic() - begun)
            self._count(answered)
            _note(answered, name, scope)


def _note(answered: Answered, name: str, scope: Scope) -> None:
    actor = scope.get("state", {}).get("actor")
    request = {
        "request": name,
        "user": actor.user_id if actor is not None and actor.user is not None else None,
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "ms": round(answered.seconds * 1000, 1),
    }
    level = logging.ERROR if answered.status >= 500 else logging.INFO
    answer = answered.status or "nothing"
    _LOG.log(
        level,
        "%s %s answered %s",
        answered.method,
        answered.route,
        answer,
        extra={"request": request},
    )


def route_of(scope: Scope) -> str:
    """Return the pattern of the route that was asked, `/static` for files and `none` where there is none."""
    if scope["path"].startswith("/static/"):
        return "/static"
    route = getattr(scope.get("route"), "path", None)
    if route is None:
        return "none"
    is_api = scope["path"].startswith(f"{API}/") and not route.startswith(API)
    return f"{API if is_api else ''}{route}"

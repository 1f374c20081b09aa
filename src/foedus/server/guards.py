"""What stands before all routes: headers that protect browsers, a limit for bodies, no forged requests.

All are plain ASGI, so that streams pass through them as they come.
"""

import json
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foedus.server.errors import BadRequest, HttpError, TooLarge
from foedus.server.http import SAFE_METHODS

_CSP: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)  # charts style their tooltips inline
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds the headers that keep foreign code and foreign frames out; pages are not kept by caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class BodyLimit:
    """Refuses bodies beyond the limit, by their header or while they come."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isascii() or not said.isdigit():
            await refuse(BadRequest("the length of the body is no number"), send)
            return
        if int(said) > self._limit:
            await refuse(self._error(), send)
            return
        received, has_begun = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _TooMuch
            return message

        async def noted(message: Message) -> None:
            nonlocal has_begun
            if received > self._limit and not has_begun:
                return  # who reads bodies turned our error into one of its own
            has_begun = True
            await send(message)

        with suppress(_TooMuch):
            await self._app(scope, counted, noted)
        if received > self._limit and not has_begun:
            await refuse(self._error(), send)

    def _error(self) -> HttpError:
        hint = "Send less at once, or have server.body_limit_mb raised."
        return TooLarge(f"the request is larger than {self._limit:,} bytes", hint)


class Hosts:
    """Refuses requests for other hosts than the public one, which a foreign name for our address would make.

    Programs on this machine, such as a monitor, may call it by a loopback address.
    """

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        self._app = app
        self._ours = urlsplit(public_url).hostname if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] == "http" and self._ours is not None:
            host = _host_of(Headers(scope=scope).get("host", ""))
            if host not in (self._ours, "127.0.0.1", "localhost", "::1"):
                hint = "Call it by its public address, or correct server.public_url."
                await refuse(BadRequest("this host is not served here", hint), send)
                return
        await self._app(scope, receive, send)


def _host_of(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


class Csrf:
    """Refuses changes that another site made this browser ask for.

    Browsers say by `Sec-Fetch-Site` (over HTTPS) or `Origin` who made them ask. A request with neither comes
    from a program, and one with a bearer token and no cookie cannot be forged.
    """

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        self._app, self._public_url = app, public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            headers = Headers(scope=scope)
            if not self._is_ours(headers, scope["scheme"]):
                error = HttpError("this request came from another site", "Reload the page and try again.")
                error.status, error.code = 403, "foreign_origin"
                await refuse(error, send)
                return
        await self._app(scope, receive, send)

    def _is_ours(self, headers: Headers, scheme: str) -> bool:
        if "authorization" in headers and "cookie" not in headers:
            return True
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        return origin is None or origin == (self._public_url or f"{scheme}://{headers.get('host', '')}")


class _TooMuch(Exception):
    """More bytes came than may."""


async def refuse(error: HttpError, send: Send) -> None:
    """Answer with an error before any route is asked."""
    shape = {"code": error.code, "message": error.message, "hint": error.hint, "fields": {}}
    body = json.dumps({"error": shape}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Finds out who asks, before any route: by the browser's cookie, or by a bearer token."""

from typing import Final

from anyio.to_thread import run_sync
from sqlalchemy import update
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from foedus.server.auth import browsers, tokens
from foedus.server.auth.actors import NOBODY, Actor
from foedus.server.db import ApiToken, User, WebSession
from foedus.server.errors import SignInNeeded
from foedus.server.guards import refuse
from foedus.server.platform import Platform

_OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # these must answer without the database


class SignIn:
    """Sets `request.state.actor`. A bearer token that is not valid is answered 401, not taken for nobody."""

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app, self._platform = app, platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        try:
            is_open = scope["path"].startswith("/static/") or scope["path"] in _OPEN
            actor = NOBODY if is_open else await run_sync(self._find, request)
        except SignInNeeded as error:
            await refuse(error, send)
            return
        request.state.actor = actor
        await self._app(scope, receive, send)

    def _find(self, request: HTTPConnection) -> Actor:
        address = request.client.host if request.client else ""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._by_token(token.strip(), address)
        secret = request.cookies.get(browsers.cookie_name(request.url.scheme == "https"), "")
        return self._by_cookie(secret, address) if secret else Actor(address=address)

    def _by_token(self, token: str, address: str) -> Actor:
        now = self._platform.now()
        with self._platform.reading() as db:
            row = tokens.find_token(db, token, now)
            if row is None:
                raise SignInNeeded(
                    "the token is not valid, or not any more", "Make a new one on your account page."
                )
            actor, is_news = tokens.actor_of(row, address), tokens.is_to_be_noted(row, now)
        if is_news:
            with self._platform.writing() as db:
                db.execute(update(User).where(User.id == actor.user_id).values(seen_at=now))
                db.execute(update(ApiToken).where(ApiToken.id == actor.token).values(used_at=now))
        return actor

    def _by_cookie(self, secret: str, address: str) -> Actor:
        now = self._platform.now()
        with self._platform.reading() as db:
            row = browsers.find_session(db, secret, self._platform.server, now)
            if row is None:
                return Actor(address=address)
            actor, is_news = browsers.actor_of(row, address), browsers.is_to_be_noted(row, now)
        if is_news:
            with self._platform.writing() as db:
                db.execute(update(User).where(User.id == actor.user_id).values(seen_at=now))
                db.execute(update(WebSession).where(WebSession.id == actor.session).values(seen_at=now))
        return actor

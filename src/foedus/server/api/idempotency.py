"""Repeated calls of the API: the same `Idempotency-Key` with the same request gets the same answer.

A program that lost the answer repeats its call and nothing happens twice. Keys belong to the caller and are
kept for a day.
"""

import datetime
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from anyio.to_thread import run_sync
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foedus.server.db import IdempotencyKey
from foedus.server.errors import Conflict, HttpError, Invalid
from foedus.server.guards import refuse
from foedus.server.http import SAFE_METHODS
from foedus.server.logs import API
from foedus.server.platform import Platform

KEPT: Final = datetime.timedelta(hours=24)
"""How long a key is known."""
GIVEN_UP: Final = datetime.timedelta(minutes=10)
"""After that long a call without an answer is taken for lost, with the process that made it."""
_LARGEST: Final = 1_000_000  # bytes of an answer that is kept
_SECRETS: Final = frozenset({"token", "secret", "password", "link", "url"})  # shown once: never kept


@dataclass(frozen=True, slots=True)
class _Claim:
    row: int
    status: int | None = None  # of the answer that is there already
    body: Any = None


class Idempotency:
    """Answers repeated unsafe calls below `/api/v1` from what was kept of the first one.

    Another request with the same key is refused (422), and so is one while the first is under way (409).
    Answers of 5xx are not kept: their repetition is a new try. It must stand within `SignIn`.
    """

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app, self._platform = app, platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer in its place."""
        key = _key_of(scope)
        user = scope["state"]["actor"].user if key is not None else None
        if key is None or user is None:
            await self._app(scope, receive, send)
            return
        try:
            if not 1 <= len(key) <= 200 or not key.isprintable():
                raise Invalid({"Idempotency-Key": "must have 1 to 200 printable characters"})
            body = await _whole_body(receive)
            if body is None:
                return
            claim = await run_sync(self._claim, user.id, key, _hash_of(scope, body))
        except HttpError as error:
            await refuse(error, send)
            return
        if claim.status is not None:
            await _send_again(claim, send)
            return
        await self._run(claim, scope, body, receive, send)

    async def _run(self, claim: _Claim, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        is_read, status, parts, is_json = False, 0, bytearray(), False

        async def again() -> Message:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def kept(message: Message) -> None:
            nonlocal status, is_json
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = Headers(raw=message["headers"]).get("content-type", "application/json")
                is_json = kind.startswith("application/json")
            elif len(parts) <= _LARGEST:
                parts.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # before it is sent: whoever has the answer can rely on its being kept
                await run_sync(self._keep, claim.row, status, bytes(parts) if is_json else None)
            await send(message)

        try:
            await self._app(scope, again, kept)
        except BaseException:
            await run_sync(self._forget, claim.row)
            raise

    def _claim(self, user: int, key: str, request: str) -> _Claim:
        """Take the key for this request, or find what was kept. Raises `Conflict` or `Invalid`."""
        now = self._platform.now()
        try:
            with self._platform.writing() as db:
                is_lost = IdempotencyKey.status.is_(None) & (IdempotencyKey.created_at < now - GIVEN_UP)
                db.execute(delete(IdempotencyKey).where((IdempotencyKey.created_at < now - KEPT) | is_lost))
                known = select(IdempotencyKey).where(
                    IdempotencyKey.user_id == user, IdempotencyKey.key == key
                )
                row = db.scalar(known)
                if row is None:
                    row = IdempotencyKey(user_id=user, key=key, request_hash=request, created_at=now)
                    db.add(row)
                    db.flush()
                    return _Claim(row.id)
                return _found(row, request)
        except IntegrityError as error:  # another process took it between our two statements
            raise _under_way() from error

    def _keep(self, row: int, status: int, body: bytes | None) -> None:
        if status >= 500:
            self._forget(row)
            return
        kept: dict[str, Any] = {"lost": True}
        if body is not None and len(body) <= _LARGEST:
            value = json.loads(body) if body else None
            if not (isinstance(value, dict) and _SECRETS & value.keys()):
                kept = {"value": value}
        with self._platform.writing() as db:
            found = update(IdempotencyKey).where(IdempotencyKey.id == row)
            db.execute(found.values(status=status, body=kept))

    def _forget(self, row: int) -> None:
        with self._platform.writing() as db:
            db.execute(
                delete(IdempotencyKey).where(IdempotencyKey.id == row, IdempotencyKey.status.is_(None))
            )


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] in SAFE_METHODS or not scope["path"].startswith(f"{API}/"):
        return None
    return Headers(scope=scope).get("idempotency-key")


def _found(row: IdempotencyKey, request: str) -> _Claim:
    if row.request_hash != request:
        raise Invalid({"Idempotency-Key": "was used for another request: take a new one"})
    if row.status is None:
        raise _under_way()
    if row.body is None or "value" not in row.body:
        raise Conflict(
            "the call was done, but its answer is not kept",
            "It held a secret, which is shown once, or it was too large. Look at what the call has made.",
        )
    return _Claim(row.id, row.status, row.body["value"])


def _under_way() -> Conflict:
    return Conflict("the same call is under way", "Wait a moment and repeat it.")


def _hash_of(scope: Scope, body: bytes) -> str:
    # with what the caller may do: a token that may less must not be given the answer of one that may more
    scopes = sorted(scope["state"]["actor"].scopes)
    head = json.dumps([scope["method"], scope["path"], scope["query_string"].decode("latin-1"), scopes])
    return hashlib.sha256(head.encode() + b"\n" + body).hexdigest()


async def _whole_body(receive: Receive) -> bytes | None:
    """Read the body, which `BodyLimit` keeps small; None when the caller went away."""
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.extend(message.get("body", b""))
        if not message.get("more_body"):
            return bytes(parts)


async def _send_again(claim: _Claim, send: Send) -> None:
    body = b"" if claim.body is None else json.dumps(claim.body).encode()
    start: Message = {"type": "http.response.start", "status": claim.status, "headers": []}
    headers = MutableHeaders(scope=start)
    headers["Content-Length"] = str(len(body))
    headers["Idempotency-Replayed"] = "true"
    if body:
        headers["Content-Type"] = "application/json"
    await send(start)
    await send({"type": "http.response.body", "body": body})

"""Calls of a platform's JSON API: tokens, errors, repetition, pages of lists, and downloads."""

import ipaddress
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

import httpx

from foedus.core.errors import FoedusError, InvalidSpec
from foedus.version import VERSION

API: Final = "/api/v1"
Json: TypeAlias = dict[str, Any]

_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_TRIES: Final = 4
_WAIT_S: Final = 0.5  # before the second try; doubled each time
_UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PASSING: Final = frozenset({502, 503, 504})
_LONGEST_ANSWER: Final = 64 << 20


class RemoteError(FoedusError):
    """The platform refused a call. `status` is that of HTTP; `fields` says what is wrong with which field."""

    def __init__(
        self, status: int, message: str, hint: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        faults = "".join(f"\n  {name}: {what}" for name, what in (fields or {}).items())
        super().__init__(message + faults, hint)
        self.status, self.fields = status, dict(fields or {})
        self.exit_code = 2 if status == 422 else 1


class Unreachable(FoedusError):
    """The platform did not answer."""


def checked_url(url: str, insecure: bool = False) -> str:
    """Return the origin of a platform. Raises `InvalidSpec` for none, and for plain HTTP over a network."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        _ = parts.port
    except ValueError as error:
        raise InvalidSpec(f"{url!r} is not the address of a platform: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise InvalidSpec(
            f"{url!r} is not the address of a platform", "For example https://foedus.example.org."
        )
    if parts.scheme == "http" and not insecure and not _is_loopback(parts.hostname):
        raise InvalidSpec(
            f"{url} is plain HTTP: anybody between here and there could read the token",
            "Use https, or --insecure if you know the network.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connection:
    """A platform and the token with which it is asked. Close it, or use it in a `with` statement.

    Calls that change something carry an idempotency key, so that one whose answer was lost is repeated
    without anything happening twice. Raises `RemoteError` and `Unreachable`.
    """

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": f"foedus/{VERSION}",
                "Accept": "application/json",
            },
            timeout=_TIMEOUT,
            transport=transport,
            follow_redirects=False,  # a token goes nowhere else
        )

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, *path: str | int, **query: object) -> Json:
        """Return an answer."""
        return self._json("GET", path, query, None)

    def post(self, *path: str | int, body: Mapping[str, Any] | None = None, **query: object) -> Json:
        """Ask for something to be done."""
        return self._json("POST", path, query, body or {})

    def put(self, *path: str | int, body: Mapping[str, Any], **query: object) -> Json:
        """Ask for something to be as the body says."""
        return self._json("PUT", path, query, body)

    def patch(self, *path: str | int, body: Mapping[str, Any]) -> Json:
        """Ask for a change."""
        return self._json("PATCH", path, {}, body)

    def delete(self, *path: str | int) -> None:
        """Ask for something to be ended."""
        self._json("DELETE", path, {}, None)

    def each(self, *path: str | int, **query: object) -> Iterator[Json]:
        """Yield the items of a list, page after page as they are wanted."""
        after = None
        while True:
            found = self.get(*path, **query, after=after)
            yield from found["items"]
            after = found.get("next")
            if not after:
                return

    @contextmanager
    def download(self, *path: str | int, **query: object) -> Iterator[tuple[Iterator[bytes], int | None]]:
        """Open a file: its parts, and its size in bytes where the platform says so."""
        try:
            # not compressed on the way: the size that is announced is to be that of the file
            plain = {"Accept-Encoding": "identity", "Accept": "*/*"}
            with self._http.stream("GET", _path(path), params=_query(query), headers=plain) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    raise self._refusal(answer)
                size = answer.headers.get("content-length")
                yield answer.iter_bytes(1 << 20), int(size) if size and size.isdigit() else None
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def _json(
        self, method: str, path: tuple[str | int, ...], query: Mapping[str, object], body: object
    ) -> Json:
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method in _UNSAFE else {}
        answer = self._sent(method, _path(path), _query(query), body, headers)
        if answer.status_code >= 300:
            raise self._refusal(answer)
        if answer.status_code == 204 or not answer.content:
            return {}
        try:
            found = json.loads(answer.content)
        except ValueError as error:
            raise Unreachable(
                f"{self.url} answers with something else than JSON", "Is that Foedus?"
            ) from error
        if not isinstance(found, dict):
            raise Unreachable(f"{self.url} answers with something else than an object", "Is that Foedus?")
        return found

    def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: object, headers: Mapping[str, str]
    ) -> httpx.Response:
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._asked(method, path, query, body, headers)
            except httpx.RequestError as error:
                if attempt == _TRIES:
                    raise self._unreachable(error) from error
            else:
                is_under_way = answer.status_code == 409 and attempt > 1  # perhaps our own first try still is
                if attempt == _TRIES or not (answer.status_code in _PASSING or is_under_way):
                    return answer
            time.sleep(_WAIT_S * 2 ** (attempt - 1))
        raise AssertionError("the last try returns or raises")

    def _asked(
        self, method: str, path: str, query: Mapping[str, str], body: object, headers: Mapping[str, str]
    ) -> httpx.Response:
        """Return an answer, read whole. Raises `Unreachable` for one that is longer than any of Foedus."""
        parts = bytearray()
        with self._http.stream(method, path, params=query, json=body, headers=dict(headers)) as answer:
            for chunk in answer.iter_bytes():
                parts += chunk
                if len(parts) > _LONGEST_ANSWER:
                    raise Unreachable(f"{self.url} answers without an end", "Is that Foedus?")
        return httpx.Response(answer.status_code, content=bytes(parts))

    def _refusal(self, answer: httpx.Response) -> FoedusError:
        if 300 <= answer.status_code < 400:
            return Unreachable(
                f"{self.url} sends us elsewhere ({answer.status_code})", "Use the address that it really has."
            )
        try:
            error = answer.json()["error"]
            message, hint, fields = str(error["message"]), str(error["hint"]), dict(error["fields"])
        except (ValueError, KeyError, TypeError):
            return Unreachable(
                f"{self.url} answers {answer.status_code}, not as Foedus does", "Is that Foedus?"
            )
        if answer.status_code == 401:
            hint = f"Sign in: foedus login {self.url}"
        return RemoteError(answer.status_code, message, hint, {k: str(v) for k, v in fields.items()})

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.url} does not answer: {error}", "Check the address, and that it runs.")


def _path(parts: tuple[str | int, ...]) -> str:
    return API + "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _query(values: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if value not in (None, "")}

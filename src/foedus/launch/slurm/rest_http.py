"""One question to slurmrestd: bounded in time and size, to the named address only, with the user's token.

No proxies and no redirects. The token is in no message: where an answer repeats it, it is blotted out.
"""

import http.client
import os
import pwd
import re
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from threading import Thread

from foedus.core.errors import InvalidSpec
from foedus.launch.cluster import Unreachable
from foedus.launch.slurm.rest_json import Record, parsed
from foedus.launch.slurm.rest_token import has_expired, read_token, renewal
from foedus.launch.slurm.site import SlurmRest

_LIMIT_BYTES = 64 << 20
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<base>(/[A-Za-z0-9_.~-]{1,64}){0,8})/?|unix:(//)?(?P<socket>/[^\x00-\x1f\x7f]{1,100})",
    re.ASCII,
)
_VERSION = re.compile(r"v0\.0\.(38|4[0-9])", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_LISTING = "`slurmrestd -s list` shows what it speaks."


@dataclass(frozen=True, slots=True)
class Answer:
    """What slurmrestd answered: the status of HTTP, and the object in JSON."""

    status: int
    values: Record


@dataclass(frozen=True, slots=True)
class _Question:
    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


class RestClient:
    """Asks one slurmrestd as one user. Raises `InvalidSpec` for settings that cannot be used."""

    def __init__(self, rest: SlurmRest, timeout_s: float) -> None:
        self._rest, self._timeout_s = rest, timeout_s
        self._address = _Address.of(rest.url)
        self.user = rest.user or _own_name()  # not from variables, which may be somebody else's
        if not _VERSION.fullmatch(rest.version):
            hint = f"It must be v0.0.38, or v0.0.40 and above; {_LISTING}"
            raise InvalidSpec(f"slurm.rest.version cannot be {rest.version[:40]!r}", hint)
        if not _USER.fullmatch(self.user):
            raise InvalidSpec(f"slurm.rest.user cannot be {self.user[:80]!r}", "It must be a user's name.")
        if not rest.token_file.is_absolute():
            raise InvalidSpec(
                f"slurm.rest.token_file cannot be {str(rest.token_file)[:80]!r}", "Give the whole path."
            )

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Put one question and return the answer, whatever its status.

        Raises `Unreachable` when there is none in time, and when it is not one of slurmrestd to us: the token
        or the version is not accepted, it is too large, or no JSON.
        """
        token = read_token(self._rest.token_file)
        headers = {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": token, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        whole_path = f"{self._address.base}/slurm/{self._rest.version}/{path}"
        status, data = self._exchange(_Question(method, whole_path, body, headers))
        if len(data) > _LIMIT_BYTES:
            raise Unreachable(f"slurmrestd answers with more than {_LIMIT_BYTES:,} bytes")
        if status in (401, 403):
            file = self._rest.token_file
            raise Unreachable(f"slurmrestd does not accept the token in {file} ({status})", renewal(file))
        try:
            return Answer(status, parsed(data.replace(token.encode(), b"[token]")))
        except ValueError as error:
            raise self._unread(status) from error

    def unheard(self, words: str) -> Unreachable:
        """Return the error for an answer that means: the controller is down, or does not accept the token.

        slurmrestd of Slurm 22.05 has the same words for both.
        """
        file = self._rest.token_file
        with suppress(Unreachable):
            if has_expired(read_token(file)):
                return Unreachable(f"the token in {file} has expired ({words})", renewal(file))
        either = f"the controller does not answer it, or the token in {file} is not valid"
        return Unreachable(f"slurmrestd says {words!r}: {either}", renewal(file))

    def _unread(self, status: int) -> Unreachable:
        if status == 404:
            hint = f"Set slurm.rest.version in config.toml; {_LISTING}"
            return Unreachable(f"slurmrestd does not speak {self._rest.version}", hint)
        return Unreachable(f"slurmrestd answers {status} and nothing that can be read")

    def _exchange(self, question: _Question) -> tuple[int, bytes]:
        """Talk in a thread of its own: only so is the whole time bounded, resolving the name and all."""
        connection = _Connection(self._address, self._timeout_s)
        outcome: Future[tuple[int, bytes]] = Future()
        Thread(target=_talk, args=(connection, question, outcome), name="foedus-rest", daemon=True).start()
        try:
            return outcome.result(self._timeout_s)
        except TimeoutError as error:
            connection.hang_up()
            raise Unreachable(f"slurmrestd does not answer within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = getattr(error, "strerror", None) or type(error).__name__
            # without a cause, which may quote what was sent
            raise Unreachable(f"slurmrestd cannot be reached: {words}") from None


@dataclass(frozen=True, slots=True)
class _Address:
    """Where slurmrestd listens. With `socket`, the path of one on this machine, the rest means nothing."""

    host: str
    port: int
    base: str
    is_tls: bool
    socket: str

    @classmethod
    def of(cls, url: str) -> "_Address":
        found = _URL.fullmatch(url)
        if found is None or int(found["port"] or 1) not in range(1, 1 << 16):
            hint = "It must be http://HOST:PORT, https://HOST:PORT or unix:/PATH."
            raise InvalidSpec(f"slurm.rest.url cannot be {url[:80]!r}", hint)
        if found["socket"]:
            return cls("localhost", 80, "", False, found["socket"])
        port = int(found["port"] or _PORTS[found["scheme"]])
        return cls(found["host"].strip("[]"), port, found["base"], found["scheme"] == "https", "")


class _Connection(http.client.HTTPConnection):
    """One to such an address."""

    def __init__(self, address: _Address, timeout_s: float) -> None:
        super().__init__(address.host, address.port, timeout=timeout_s)
        self._address, self._limit_s = address, timeout_s

    def connect(self) -> None:
        address = self._address
        if address.socket:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self._limit_s)
            self.sock.connect(address.socket)
            return
        self.sock = socket.create_connection((address.host, address.port), self._limit_s)
        if address.is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(
                self.sock, do_handshake_on_connect=False, server_hostname=address.host
            )
            self.sock.do_handshake()  # only now, so that `hang_up` finds the socket

    def hang_up(self) -> None:
        """Make the thread that waits for this connection wait no longer."""
        if self.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise InvalidSpec("this user has no name here", "Set slurm.rest.user in config.toml.") from error


def _talk(connection: _Connection, question: _Question, outcome: "Future[tuple[int, bytes]]") -> None:
    try:
        with closing(connection):
            connection.request(question.method, question.path, question.body, dict(question.headers))
            response = connection.getresponse()
            outcome.set_result((response.status, response.read(_LIMIT_BYTES + 1)))
    except BaseException as error:
        outcome.set_exception(error)

"""A fake of slurmrestd on loopback: it says what a test tells it to, and keeps what it is asked."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from foedus.launch.cluster import Unreachable
from foedus.launch.slurm import SlurmRest
from foedus.launch.slurm.rest_http import RestClient

TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.FAKE_TOKEN_0123456789"  # noqa: S105  # opens nothing
USER = "somebody"
Raw = Callable[[BinaryIO], None]
Said = tuple[int, object] | Raw


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeSlurmrestd:
    """`says` maps "METHOD path", without /slurm/VERSION/, to a status and an object, or to who writes it."""

    says: dict[str, Said] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def jobs(self, *records: object) -> None:
        self.says["GET jobs"] = (200, {"errors": [], "jobs": list(records)})

    def drip(self, stream: BinaryIO) -> None:
        """Write headers for ever, a byte at a time."""
        stream.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not self.closing.wait(0.02):
            stream.write(b"x")
            stream.flush()

    def site(self, folder: Path, version: str = "v0.0.38") -> SlurmRest:
        """Return settings for this fake, with a token in a file."""
        file = folder / "token"
        file.touch(mode=0o600)
        file.write_text(TOKEN)
        return SlurmRest(self.url, file, version, USER)


@contextmanager
def fake_slurmrestd(certificate: Path | None = None) -> Iterator[FakeSlurmrestd]:
    """Run one; with TLS when given a file with key and certificate."""
    fake = FakeSlurmrestd()
    server = _Server(("127.0.0.1", 0), _handler(fake))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme, host = ("https", "localhost") if certificate else ("http", "127.0.0.1")
    fake.url = f"{scheme}://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def refused(rest: SlurmRest, limit_s: float = 2.0) -> str:
    """Return all that the error for a question says."""
    with pytest.raises(Unreachable) as caught:
        RestClient(rest, limit_s).ask("GET", "jobs")
    return str(caught.value)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up on purpose."""


def _handler(fake: FakeSlurmrestd) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fake.asked.append(
                Asked(self.command, self.path, dict(self.headers.items()), json.loads(body) if body else None)
            )
            path = self.path.split("/", 3)[-1]
            said = fake.says.get(f"{self.command} {path}", (404, {}))
            if callable(said):
                said(self.wfile)  # type: ignore[arg-type]  # BufferedIOBase here
                return
            status, values = said
            data = values if isinstance(values, bytes) else json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_any  # http.server's names

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    return Handler

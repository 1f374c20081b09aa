"""The web process, and the two processes of a whole platform started by one command."""

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from foedus.core.errors import FoedusError
from foedus.launch.orphans import die_with

GRACE_S: Final = 5
"""How long requests and streams under way are waited for when the process is to end."""
_LISTENS: Final = "0A"  # a socket's state in /proc/net/tcp
_TRUSTED_PROXIES: Final = "127.0.0.1,::1"  # whose word on the browser's address and scheme is taken


def serve(app: FastAPI, listening: socket.socket, is_ready: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; `is_ready` is called once they are answered."""
    config = uvicorn.Config(
        app,
        log_config=None,  # see _share_log
        access_log=False,
        server_header=False,
        forwarded_allow_ips=_TRUSTED_PROXIES,
        timeout_graceful_shutdown=GRACE_S,
    )
    _share_log()
    _Server(config, is_ready, app.state.hub.close).run([listening])


def listen(host: str, port: int) -> socket.socket:
    """Take a port, or any free one for 0. Raises `FoedusError` when it cannot be had."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=kind)
        # a body after its headers would wait for the browser's delayed acknowledgement, 40 ms
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        holder = _holder_of(port) if error.errno == errno.EADDRINUSE else None
        program = f"process {holder}, which" if holder else "the program that"
        hint = f"Choose another one by --port, or end {program} has it."
        raise FoedusError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}".lower(), hint
        ) from error


def _holder_of(port: int) -> int | None:
    """Return the process of ours that listens on a port; None when it is somebody else's, or not on Linux."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, address, _, state, *others = line.split()
                if state == _LISTENS and int(address.rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{others[5]}]")
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):  # it is somebody else's, or has ended meanwhile
            for file in (process / "fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    if os.readlink(file) in sockets:
                        return int(process.name)
    return None


def address_of(listening: socket.socket) -> str:
    """Return the address at which a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where we listen, told
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _share_log() -> None:
    """Have uvicorn write its words, and the tracebacks of defects, where ours go."""
    ours, theirs = logging.getLogger("foedus"), logging.getLogger("uvicorn")
    theirs.handlers, theirs.propagate = ours.handlers, ours.propagate
    theirs.setLevel(ours.level)


class _Server(uvicorn.Server):
    """Says when it is ready, and ends in order at the first signal."""

    def __init__(
        self, config: uvicorn.Config, is_ready: Callable[[], None], close: Callable[[], Awaitable[None]]
    ) -> None:
        """`close` ends the streams; else they would be waited for, which the lifespan's end comes after."""
        super().__init__(config)
        self._is_ready, self._close = is_ready, close

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        # uvicorn raises the signal again at its end, which would skip ours
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def run_together(commands: Mapping[str, Sequence[str]], grace_s: float = 2.0 * GRACE_S) -> None:
    """Run processes until SIGINT or SIGTERM, which ends all in order, or until one of them ends by itself.

    None is started again: what ended it would end it again, unseen. Then the others are ended, and
    `FoedusError` says which one it was. When this process is killed, the kernel kills them (Linux).
    """
    wanted = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: wanted.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            # a group of its own: Ctrl-C reaches them through us alone, once
            running[name] = subprocess.Popen(
                command, process_group=0, preexec_fn=partial(die_with, os.getpid())
            )
        while not wanted.wait(0.2):
            for name, process in running.items():
                if process.poll() is not None:
                    raise FoedusError(
                        f"the {name} process ended by itself ({_how(process.returncode)}), so all were ended",
                        "What it said stands above, or in foedus.log in the home folder.",
                    )
    finally:
        _end(list(running.values()), grace_s)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"exit code {code}"


def foedus(*arguments: str) -> list[str]:
    """Return the command line of another process of this same program."""
    return [sys.executable, "-m", "foedus.client.cli", *arguments]

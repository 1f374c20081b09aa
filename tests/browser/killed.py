"""The two processes of a platform, that are killed without warning and started again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import select

from foedus.server.db import Worker
from foedus.server.platform import Platform
from foedus.server.serve import foedus

_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.05


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + _LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(_LOOK_S)


class Processes:
    """The web process, at one port all the time, and the worker, each with a process group of its own."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._running = platform, dict[str, "subprocess.Popen[bytes]"]()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self._port}"

    def start(self, *names: str) -> None:
        """Start processes by the names of their commands."""
        home: Path = self._platform.home.root
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
        for name in names:
            port = ["--port", str(self._port)] if name == "serve" else []
            self._running[name] = subprocess.Popen(
                foedus(name, "--home", str(home), *port),
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                env=environment,
            )

    def kill(self, *names: str) -> None:
        """End processes and all that they have started, as a machine that loses its power does."""
        for name in names:
            os.killpg(self._running[name].pid, signal.SIGKILL)
            self._running.pop(name).wait()

    def end(self) -> dict[str, int]:
        """Ask all to end in order, and return their exit codes."""
        for process in self._running.values():
            process.terminate()
        return {name: process.wait(30) for name, process in self._running.items()}

    def answers(self) -> bool:
        """Whether the pages answer."""
        try:
            return httpx.get(f"{self.origin}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def works(self) -> bool:
        """Whether this very worker works."""
        with self._platform.reading() as db:
            working = db.scalars(select(Worker.name).where(Worker.state == "working")).all()
        return any(f"-{self._running['worker'].pid}-" in name for name in working)

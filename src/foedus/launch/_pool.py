"""The driver's side of the nursery: start and stop workers, hand them jobs, hear from them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TypeAlias

from foedus.launch._code import WorkerCode
from foedus.launch._environment import worker_environment

_BOOT = "import sys; from foedus.launch._nursery import main; main(sys.argv[1])"
_CLOSE_S = 10.0
_TAKE_BYTES = 1 << 16


@dataclass(eq=False, slots=True)
class Worker:
    """A worker process as the driver knows it. `process` is 0 until it was forked."""

    number: int
    connection: Connection
    process: int = 0
    is_ready: bool = False
    limit_mb: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has imported its code and begins with its job, if it was given one."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Done:
    """The worker has ended its job. `error` says in words what went wrong, if anything did."""

    worker: Worker
    error: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker and all it started are dead. `code` is its exit code, or minus the signal that killed it.

    `used_mb` is above 0 when they took so much memory, more than they may, and were killed for that.
    """

    worker: Worker
    code: int
    used_mb: int = 0


News: TypeAlias = Ready | Done | Ended


class Pool:
    """Workers forked from one nursery. Nothing here blocks but `poll` and `close`."""

    def __init__(self, code: WorkerCode) -> None:
        self._code = code
        self._workers: dict[int, Worker] = {}
        self._count = 0
        self._open_nursery()

    @property
    def workers(self) -> list[Worker]:
        """The workers that have not ended, oldest first."""
        return list(self._workers.values())

    def start(self) -> Worker:
        """Ask for another worker. It can be given a job at once, which it begins when it is ready."""
        self._count += 1
        ours, theirs = socket.socketpair()
        worker = Worker(self._count, Connection(ours.detach()))
        self._workers[worker.number] = worker
        with theirs:
            self._order({"start": worker.number}, theirs.fileno())
        return worker

    def give(self, worker: Worker, folder: str, memory_mb: int = 0, attempt: str = "") -> None:
        """Hand the worker its next job, or an attempt of it. If it has just died, news of that follows.

        From then on it is killed when it and all it started take more memory, unless that is 0.
        """
        if worker.limit_mb != memory_mb:
            worker.limit_mb = memory_mb
            self._order({"limit": worker.number, "memory_mb": memory_mb})
        try:
            worker.connection.send_bytes(json.dumps({"folder": folder, "attempt": attempt}).encode())
        except OSError:
            return

    def stop(self, worker: Worker, grace_s: float) -> None:
        """Ask the worker's processes to end and, `grace_s` later, have them killed. Returns at once."""
        self._order({"stop": worker.number, "grace_s": grace_s})

    def poll(self, timeout_s: float | None) -> list[News]:
        """Return what happened, waiting for it at most so long; in the order in which each worker did it."""
        speaking = {w.connection: w for w in self._workers.values() if not w.connection.closed}
        found = wait([self._control, *speaking], timeout_s)
        news: list[News] = []
        for connection, worker in speaking.items():
            if connection in found:
                news += self._heard(worker)
        if self._control in found:
            for number, code, used_mb in self._nursery_says():
                worker = self._workers.pop(number)
                news += [*self._heard(worker), Ended(worker, code, used_mb)]
                worker.connection.close()
        return news

    def close(self) -> None:
        """Kill all workers and the nursery, and wait until they are gone."""
        self.poll(0.0)
        if not self._is_listening:
            self._nursery.kill()  # it still imports, has no worker, and would not hear us for a while
        self._control.close()
        for worker in self._workers.values():
            worker.connection.close()
        self._workers.clear()
        try:
            self._nursery.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._nursery.kill()
            self._nursery.wait()

    def _open_nursery(self) -> None:
        options = {
            # as text, since that process has its own idea of what its path is; '' means here, also there
            "path": [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)],
            "entry": self._code.entry,
            "setup": self._code.setup,
            "preload": self._code.preload,
            "threads": self._code.threads,
            "driver": os.getpid(),
        }
        self._control, theirs = socket.socketpair()
        self._text = b""
        self._is_listening = False  # until it has said something, it may still import
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, json.dumps(options | {"control": theirs.fileno()})],
                env=worker_environment(self._code.threads),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C and hang-up reach the driver only
            )

    def _order(self, order: dict[str, int | float], *descriptors: int) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(order).encode() + b"\n"], descriptors)
        except OSError:  # the nursery is dead, which `poll` finds out
            return

    def _heard(self, worker: Worker) -> Iterator[News]:
        try:
            while not worker.connection.closed and worker.connection.poll():
                message = json.loads(worker.connection.recv_bytes())
                if "ready" in message:
                    worker.is_ready = True
                    yield Ready(worker)
                else:
                    yield Done(worker, str(message["error"]))
        except (OSError, EOFError):  # its end is near; the nursery tells when all of it is gone
            worker.connection.close()

    def _nursery_says(self) -> Iterator[tuple[int, int, int]]:
        """Yield the workers that ended, with their codes, and the memory that they were killed for."""
        try:
            data = self._control.recv(_TAKE_BYTES)
        except OSError:
            data = b""
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._is_listening = True
            message = json.loads(line)
            if "started" in message:
                self._workers[message["started"]].process = message["pid"]
            else:
                yield message["ended"], message["code"], message["used_mb"]
        if not data:
            yield from self._replace_nursery()

    def _replace_nursery(self) -> Iterator[tuple[int, int, int]]:
        """The nursery was killed: so were its workers (by the kernel, on Linux); see to their children."""
        self._control.close()
        self._nursery.wait()
        self._open_nursery()
        for worker in self.workers:
            if worker.process:
                _kill_group(worker.process)
            yield worker.number, -signal.SIGKILL, 0


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

"""The nursery: a small process that imports the heavy libraries once and forks warm workers from there.

`multiprocessing`'s own fork server was not enough: it imports the driver's `__main__` again in every worker
(a script without a main guard breaks), is one per process with the environment of whoever came first, blocks
the driver until the imports are done, and cannot be stopped. This one belongs to one launcher, does nothing
but wait, and as the workers' parent it knows for certain when a worker and all it started are dead.

From the driver come JSON lines, `{"start": n}` (with the worker's socket as a passed descriptor),
`{"stop": n, "grace_s": s}` and `{"limit": n, "memory_mb": m}`; back go `{"started": n, "pid": p}` and
`{"ended": n, "code": c, "used_mb": u}`, c < 0 for a signal, u > 0 when it was killed because it took more
memory than it may. When the driver goes away, however it dies, the kernel closes its end of the socket and
the nursery kills all.
"""

import gc
import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from foedus.launch import _worker
from foedus.launch._code import WorkerCode
from foedus.launch._memory import tree_mb
from foedus.launch.orphans import adopt_orphans, die_with, outlive_parent

_CLOSE_S = 5.0
_LOOK_S = 0.1  # how often memory is looked at: a process can take 100 to 300 MB in that time
_TAKE_BYTES, _TAKE_DESCRIPTORS = 1 << 16, 64


def main(argument: str) -> None:
    """Run as the launcher started us, and exit when the driver has gone and all workers are dead."""
    options = json.loads(argument)
    sys.path[:] = options["path"]
    code = WorkerCode(options["entry"], options["setup"], tuple(options["preload"]), options["threads"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the driver may have been started with it ignored
    adopt_orphans()
    # While importing we hear nothing. Later the socket tells better: it closes with the driver's process,
    # whereas this is about the driver's thread that started us.
    die_with(options["driver"])
    _import(code)
    outlive_parent()
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # the wake-up descriptor is what counts
    _Nursery(socket.socket(fileno=options["control"]), wake, code).run()
    os._exit(0)  # taking torch down in good order would keep the driver waiting for a quarter of a second


def _import(code: WorkerCode) -> None:
    for module in code.modules:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: S112 -- the worker meets it again and tells it as the job's failure
            continue
    gc.collect()
    gc.freeze()  # the collector of a worker then leaves the shared pages alone


@dataclass(slots=True)
class _Nursery:
    control: socket.socket
    wake: socket.socket
    code: WorkerCode
    alive: dict[int, int] = field(default_factory=dict)  # worker number -> process id
    ended: dict[int, int] = field(default_factory=dict)  # worker number -> exit code, not told yet
    doomed: dict[int, float] = field(default_factory=dict)  # worker number -> when it is killed for good
    limits: dict[int, int] = field(default_factory=dict)  # worker number -> memory that it may take, in MB
    used: dict[int, int] = field(default_factory=dict)  # worker number -> what it took when killed for that
    scratch: dict[int, str] = field(default_factory=dict)  # worker number -> its TMPDIR
    passed: deque[int] = field(default_factory=deque)  # descriptors whose "start" is still to be read
    text: bytes = b""

    def run(self) -> None:
        """Serve until the driver is gone, then kill everything."""
        self.control.setblocking(True)
        while True:
            for ready in self._wait(self._next_look()):
                if ready is self.wake:
                    self.wake.recv(4096)
                elif not self._obey():
                    return self._close()
            self._kill_overdue()
            self._kill_oversized()
            self._reap()
            if not self._tell():
                return self._close()

    def _next_look(self) -> float | None:
        looks = [time.monotonic() + _LOOK_S] if self.limits else []
        return min([*self.doomed.values(), *looks], default=None)

    def _wait(self, until: float | None) -> list[object]:
        timeout = None if until is None else max(0.0, until - time.monotonic())
        return list(wait([self.control, self.wake], timeout))

    def _obey(self) -> bool:
        """Carry out what the driver says; False when it is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, _TAKE_BYTES, _TAKE_DESCRIPTORS)
            self.passed.extend(descriptors)
            *lines, self.text = (self.text + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if "start" in order:
                    self._start(order["start"])
                elif "limit" in order:
                    self._limit(order["limit"], order["memory_mb"])
                else:
                    self._stop(order["stop"], order["grace_s"])
        except OSError:
            return False
        return bool(data)

    def _start(self, number: int) -> None:
        descriptor, parent = self.passed.popleft(), os.getpid()
        try:
            self.scratch[number] = tempfile.mkdtemp(prefix="foedus-")
            process = os.fork()
        except OSError:  # no more processes or no space; the driver decides whether to try again
            os.close(descriptor)
            self.ended[number] = os.EX_OSERR
            return
        if process == 0:
            os.environ["TMPDIR"] = tempfile.tempdir = self.scratch[number]
            self._become_worker(descriptor, parent)
        os.close(descriptor)
        _lead_group(process)  # here and in the child, so that neither has to wait for the other
        self.alive[number] = process
        self._send({"started": number, "pid": process})

    def _become_worker(self, descriptor: int, parent: int) -> None:
        """Run as the forked child; never returns."""
        status = 1
        try:
            _lead_group(0)
            os.set_inheritable(descriptor, False)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            self.wake.close()
            for other in self.passed:
                os.close(other)
            _worker.work(descriptor, self.code, parent)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _stop(self, number: int, grace_s: float) -> None:
        if number in self.alive:
            _signal_group(self.alive[number], signal.SIGTERM)
            self.doomed.setdefault(number, time.monotonic() + grace_s)

    def _limit(self, number: int, memory_mb: int) -> None:
        """Hold a worker and all that it starts to so much memory; 0: to none."""
        self.limits.pop(number, None)
        if number in self.alive and memory_mb:
            self.limits[number] = memory_mb

    def _kill_oversized(self) -> None:
        for number, limit_mb in list(self.limits.items()):
            used_mb = tree_mb(self.alive[number])
            if used_mb > limit_mb:
                del self.limits[number]
                self.used[number] = used_mb
                _signal_group(self.alive[number], signal.SIGKILL)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for number in [n for n, when in self.doomed.items() if when <= now]:
            del self.doomed[number]
            _signal_group(self.alive[number], signal.SIGKILL)

    def _reap(self) -> None:
        for number, process in list(self.alive.items()):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                # its id is not given away while its group has members, nor at once when it has none
                _signal_group(process, signal.SIGKILL)
                del self.alive[number]
                self.doomed.pop(number, None)
                self.limits.pop(number, None)
                self.ended[number] = os.waitstatus_to_exitcode(status)

    def _tell(self) -> bool:
        """Report dead workers, once nothing they started is alive any more; False when the driver is gone."""
        try:
            while self.ended and not self._strays():
                number, code = self.ended.popitem()
                self._tidy(number)
                self._send({"ended": number, "code": code, "used_mb": self.used.pop(number, 0)})
        except OSError:
            return False
        return True

    def _tidy(self, number: int) -> None:
        """Remove the TMPDIR of a dead worker, which may hold rows of private data."""
        if number in self.scratch:
            shutil.rmtree(self.scratch.pop(number), ignore_errors=True)

    def _strays(self) -> bool:
        """Kill and bury orphans of dead workers; whether some still live (then SIGCHLD will call again)."""
        while orphans := set(_children()) - set(self.alive.values()):
            for process in orphans:
                os.kill(process, signal.SIGKILL)
            buried = [os.waitpid(process, os.WNOHANG)[0] for process in orphans]
            if not all(buried):
                return True
        return False  # burying them brought no further ones to light

    def _send(self, message: dict[str, int]) -> None:
        self.control.sendall(json.dumps(message).encode() + b"\n")

    def _close(self) -> None:
        deadline = time.monotonic() + _CLOSE_S
        for process in self.alive.values():
            _signal_group(process, signal.SIGKILL)
        self._reap()
        while (self.alive or self._strays()) and time.monotonic() < deadline:
            if wait([self.wake], deadline - time.monotonic()):
                self.wake.recv(4096)
            self._reap()
        for number in list(self.scratch):
            self._tidy(number)


def _children() -> list[int]:
    """Return our children's ids, including adopted orphans (Linux; elsewhere nothing is adopted)."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def _lead_group(process: int) -> None:
    try:
        os.setpgid(process, 0)
    except (ProcessLookupError, PermissionError):  # already gone
        return


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # nobody left (on macOS: zombies only)
        return

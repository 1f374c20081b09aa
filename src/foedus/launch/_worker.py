"""A warm worker: a forked process that runs one job after the other until its driver goes away."""

import ctypes
import faulthandler
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from foedus.launch import _code
from foedus.launch._code import WorkerCode
from foedus.launch.folder import JobFolder
from foedus.launch.orphans import adopt_orphans, die_with

_IOLBF = 1  # stdio.h, the same value in glibc, musl and on macOS
_LIBC = ctypes.CDLL(None)

Entry = Callable[[JobFolder], object]


def work(descriptor: int, code: WorkerCode, parent: int) -> None:
    """Serve jobs that come over the socket `descriptor` until its other end closes.

    `parent` is the forking process's id; the kernel kills this process when that one dies (Linux).
    """
    _guard(parent)
    use_line_buffers()
    function = prepared(code)
    with Connection(descriptor) as connection:
        connection.send_bytes(b'{"ready":true}')
        while True:
            try:
                job = json.loads(connection.recv_bytes())
            except (EOFError, ConnectionResetError):
                return
            error = _run(function, JobFolder(job["folder"], job["attempt"]))
            try:
                connection.send_bytes(json.dumps({"error": error}).encode())
            except BrokenPipeError:  # the driver went away meanwhile
                return


def _guard(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to decide
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a warning, for tasks that listen to it
    die_with(parent)
    adopt_orphans()


def use_line_buffers() -> None:
    """Make Python's and C's streams write line by line, so that a crash loses as little as possible."""
    sys.stdout = io.TextIOWrapper(_raw(1), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.stderr = io.TextIOWrapper(_raw(2), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    if sys.platform == "linux":
        _LIBC.setvbuf(ctypes.c_void_p.in_dll(_LIBC, "stdout"), None, _IOLBF, ctypes.c_size_t(0))
    faulthandler.enable(file=2)


def _raw(descriptor: int) -> io.BufferedWriter:
    return io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))


def prepared(code: WorkerCode) -> Entry:
    """Import the task's code. When that fails, return a function that fails every job with the reason."""
    try:
        for module in code.preload:
            importlib.import_module(module)
        function: Entry = _code.load(code.entry)
        if code.setup:
            _code.load(code.setup)()
        _limit_torch(code.threads)
    except BaseException as error:
        problem, place = error, error.__traceback__

        def refuse(folder: JobFolder) -> None:
            raise problem.with_traceback(place)  # else every raise would make the traceback longer

        return refuse
    return function


def _limit_torch(threads: int) -> None:
    torch = sys.modules.get("torch")  # imported by the task or not at all: this package does without
    if torch is not None:
        torch.set_num_threads(threads)


def _run(function: Entry, folder: JobFolder) -> str:
    """Run one job; return "" or, in words, the exception it raised."""
    try:
        with _output_to(folder):
            try:
                function(folder)
            except BaseException as error:  # SystemExit too: one task's exit is not the worker's
                return str(folder.fail(error))
    except (OSError, ValueError) as error:
        return f"the job folder cannot be written to: {error}"
    return ""


@contextmanager
def _output_to(folder: JobFolder) -> Iterator[None]:
    """Send descriptors 1 and 2 to the job's log, so that C code and child processes are caught as well."""
    log = folder.open_log()
    if os.fstat(log).st_size:
        os.write(log, b"--- next attempt ---\n")
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        _flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (log, *kept):
            os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (
            OSError,
            ValueError,
        ):  # a full disk or a task that closed the stream; its log is then incomplete
            continue
    _LIBC.fflush(None)

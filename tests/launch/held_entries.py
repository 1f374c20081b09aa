"""What tasks in held allocations do, as their specs say; alone here, since it is imported on its own."""

import os
import signal
import sys
import time
from pathlib import Path

from foedus.core.errors import Interrupted
from foedus.launch import JobFolder

LIMIT_S = 60.0


def run(folder: JobFolder) -> None:
    """Do what the spec says."""
    spec = folder.read_spec()
    print(f"doing {spec['do']}")
    {
        "finish": finish,
        "raise": fail,
        "die": die,
        "wait": wait,
        "step": step,
        "eat": eat,
    }[str(spec["do"])](folder)


def deadly() -> None:
    os._exit(4)


def finish(folder: JobFolder) -> None:
    """Tell who did it: the worker, its nursery, and the server that reads the mailbox."""
    nursery = os.getppid()
    server = int(Path(f"/proc/{nursery}/stat").read_text().split()[3])
    folder.finish({"pid": os.getpid(), "parent": nursery, "server": server, "at": time.time()})


def fail(folder: JobFolder) -> None:
    raise ValueError("the reason")


def die(folder: JobFolder) -> None:
    os._exit(3)


def wait(folder: JobFolder) -> None:
    """Wait for the file that the spec names, without listening to anything."""
    path, deadline = Path(str(folder.read_spec()["for"])), time.monotonic() + LIMIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit("it never came")
        time.sleep(0.01)
    finish(folder)


def step(folder: JobFolder) -> None:
    """Count, in a checkpoint when warned; with one from an earlier attempt, finish."""
    file = folder.open_checkpoint()
    if file is not None:
        with file:
            folder.finish({"from": file.read().decode(), "attempt": folder.outputs.name})
        return
    signal.signal(signal.SIGUSR1, lambda number, frame: save(folder))
    folder.emit({"counting": True})
    signal.pause()


def save(folder: JobFolder) -> None:
    folder.write_checkpoint([b"so far"])
    raise Interrupted


def eat(folder: JobFolder) -> None:
    """Take much memory, of which the task may have only little."""
    food = bytearray(400 << 20)
    folder.emit({"size": len(food)})
    time.sleep(LIMIT_S)

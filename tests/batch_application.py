"""What batch jobs do in the tests on clusters; imported by itself, hence a module of its own."""

import ctypes
import os
import signal
import time

from foedus.core.errors import Interrupted
from foedus.launch import JobFolder

STEP_S = 0.1


def application(folder: JobFolder) -> None:
    """Do what the spec says."""
    do = folder.read_spec()
    print(f"{do['do']} in {folder.outputs.name}", flush=True)
    match do["do"]:
        case "count":
            count(folder, int(do["to"]))
        case "exit 42":
            os._exit(42)
        case "crash":
            ctypes.string_at(0)
        case "eat memory":
            eat_memory()
        case "sleep":
            time.sleep(600)
        case "tell":
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            folder.finish({"uid": os.getuid(), "gpus": gpus, "path": str(folder.path)})
        case "hold":
            folder.emit({"gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "")})
            time.sleep(600)


def count(folder: JobFolder, to: int) -> None:
    """Count slowly, with a checkpoint after each step, and end early with one when warned."""
    warned: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: warned.append(number))
    before = folder.open_checkpoint()
    number = first = int(before.read()) if before else 0
    while number < to:
        time.sleep(STEP_S)
        number += 1
        folder.write_checkpoint([str(number).encode()])
        if warned:
            raise Interrupted
    folder.finish({"number": number, "first": first, "attempt": folder.outputs.name})


def eat_memory() -> None:
    """Take memory until somebody objects."""
    eaten = []
    while True:
        eaten.append(bytearray(20 << 20))
        time.sleep(0.05)

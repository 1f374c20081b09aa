"""The child of `foedus.launch.inside`: imports the task's code, runs it once, and is gone."""

import os
import signal
import sys
import traceback
from types import FrameType

from foedus.core.errors import Interrupted
from foedus.launch import _worker
from foedus.launch._code import WorkerCode
from foedus.launch.folder import JobFolder
from foedus.launch.orphans import die_with


def main(parent: str, entry: str, setup: str, threads: str, path: str, attempt: str) -> None:
    """Run the task and exit: 0 with a result, 75 with a checkpoint to go on from, else 1.

    SIGUSR1 is ignored, unless the task listens to it to write a checkpoint.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(int(parent))
    _worker.use_line_buffers()
    folder = JobFolder(path, attempt)
    sys.exit(_run(folder, WorkerCode(entry, setup, (), int(threads))))


def _run(folder: JobFolder, code: WorkerCode) -> int:
    try:
        _worker.prepared(code)(folder)
    except BaseException as error:  # SystemExit too: without a result it is a failure
        folder.fail(error)
        if isinstance(error, Interrupted):
            print(error, file=sys.stderr)
            return os.EX_TEMPFAIL
        traceback.print_exc()
        return 1
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    """Die of SIGTERM, unless a task listens to the warning: then it ends by itself, or is killed later."""
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

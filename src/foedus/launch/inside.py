"""What runs inside a batch job: a supervisor that starts the task in a child process and tells how it ended.

    python -m foedus.launch.inside ENTRY FOLDER ROUND [--threads N] [--setup FUNCTION] [--scratch FOLDER] …

It claims a sub-folder for this attempt (`attempt-ROUND.RESTART`), runs `ENTRY(JobFolder(FOLDER, attempt))` in
a child, and writes `exit.json` there. It imports nothing heavy, so it is small and quick, and outlives a
child that the kernel kills for its memory. SIGUSR1, and SIGTERM before it kills, mean "your time is nearly
over": the child gets SIGUSR1; a task that keeps checkpoints writes one and ends with `Interrupted`, others go
on.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from foedus.core.canonical import Json
from foedus.launch._attempts import attempt_name
from foedus.launch._code import WorkerCode
from foedus.launch._environment import worker_environment
from foedus.launch.folder import JobFolder

AGAIN = os.EX_TEMPFAIL  # 75: a checkpoint is there, to go on from in another attempt
_BOOT = "import sys; from foedus.launch._child import main; main(*sys.argv[1:])"
_LAST_RESTART = 9999


def main() -> int:
    """Run one attempt and return the exit code of the batch job."""
    options = _parser().parse_args()
    code = WorkerCode(options.entry, options.setup, (), options.threads)
    if JobFolder(options.folder).has_result():
        return 0  # the scheduler started it again though another attempt had ended well
    folder = claimed(options.folder, options.round)
    with _scratch(options.scratch) as scratch:
        began = time.monotonic()
        environment = _environment(options.threads, scratch, options.path)
        supervisor = _Supervisor(folder, code, environment, options.walltime_s, options.warning_s)
        ended = supervisor.run()
    with suppress(FileNotFoundError):  # its result was taken over already
        folder.write_exit(_report(ended, supervisor.is_out_of_time, time.monotonic() - began))
    return ended if ended >= 0 else 128 - ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m foedus.launch.inside", allow_abbrev=False)
    parser.add_argument("entry")
    parser.add_argument("folder")
    parser.add_argument("round", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--setup", default="")
    parser.add_argument("--scratch", default="")
    parser.add_argument("--path", action="append", default=[])
    parser.add_argument("--walltime-s", type=float, default=float("inf"))
    parser.add_argument("--warning-s", type=float, default=60.0)
    return parser


def claimed(path: str, number: int) -> JobFolder:
    """Return the job folder with a sub-folder for this attempt that no other attempt has.

    Slurm counts how often it started a job again. Where nobody counts, or a count comes twice, the next is
    taken.
    """
    for restart in range(int(os.environ.get("SLURM_RESTART_COUNT") or 0), _LAST_RESTART):
        folder = JobFolder(path, attempt_name(number, restart))
        try:
            folder.claim()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{path} has too many attempts")


@dataclass(eq=False, slots=True)
class _Supervisor:
    folder: JobFolder
    code: WorkerCode
    environment: Mapping[str, str]
    walltime_s: float
    warning_s: float
    child: subprocess.Popen[bytes] | None = None
    is_out_of_time: bool = False

    def run(self) -> int:
        """Return the child's exit code, or minus the signal that ended it."""
        signal.signal(
            signal.SIGUSR1, signal.SIG_IGN
        )  # inherited: a child that still starts must not die of it
        log = self.folder.open_log()
        if os.fstat(log).st_size:
            os.write(log, b"--- next attempt ---\n")
        with os.fdopen(log, "wb") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, *self._arguments()],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            for number in (signal.SIGUSR1, signal.SIGTERM):
                signal.signal(number, self._warn)
            ended = self._wait(self.child)
        with suppress(ProcessLookupError):  # what it started and left running writes nothing any more
            os.killpg(self.child.pid, signal.SIGKILL)
        return ended

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the child; warn it before its time is over, and kill it and all it started after that."""
        if self.walltime_s == float("inf"):
            return child.wait()
        warning_s = min(self.warning_s, self.walltime_s / 2)
        try:
            return child.wait(self.walltime_s - warning_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGUSR1)
        try:
            return child.wait(warning_s)
        except subprocess.TimeoutExpired:
            self.is_out_of_time = True
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()

    def _warn(self, number: int, frame: FrameType | None) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGUSR1)
            if number == signal.SIGTERM:
                self.child.send_signal(signal.SIGTERM)  # ends it, unless it is to write a checkpoint first

    def _arguments(self) -> list[str]:
        code = self.code
        return [
            str(os.getpid()),
            code.entry,
            code.setup,
            str(code.threads),
            str(self.folder.path),
            self.folder.outputs.name,
        ]


def _environment(threads: int, scratch: str, path: Sequence[str]) -> dict[str, str]:
    """Return the harmless variables, those of the scheduler, and what the options say."""
    environment = dict(worker_environment(threads))
    environment |= {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    environment.pop("SLURM_JWT", None)
    environment["TMPDIR"] = scratch
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(path)
    return environment


def _report(ended: int, is_out_of_time: bool, seconds: float) -> dict[str, Json]:
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the child and its own, the largest
    return {
        "code": max(ended, 0),
        "signal": max(-ended, 0),
        "is_out_of_time": is_out_of_time,
        "peak_mb": peak_kb // 1024,
        "host": os.uname().nodename,
        "seconds": round(seconds, 3),
        "scheduler_id": os.environ.get("SLURM_JOB_ID", ""),
    }


@contextmanager
def _scratch(parent: str) -> Iterator[str]:
    """Make this attempt's TMPDIR, which is gone however the child ends."""
    path = tempfile.mkdtemp(prefix="foedus-", dir=parent or None)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

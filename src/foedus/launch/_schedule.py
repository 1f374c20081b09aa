"""Which job goes to which worker."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch._pool import Worker
from foedus.launch.folder import JobFolder

_WARNING_S = 60.0  # before its time limit; half of a shorter one


@dataclass(eq=False, slots=True)
class Job:
    """What the launcher knows of a job. `stopping` is what it becomes once its worker was made to die."""

    key: str
    spec: JobSpec
    folder: JobFolder
    retries: int  # how often it may still be run again
    status: JobStatus
    stopping: JobStatus | None = None
    began_at: float | None = None  # monotonic clock
    worker: Worker | None = None
    has_fresh_worker: bool = False  # it was given to a worker that had done nothing before
    attempt: int = 1
    continued: int = 0  # how often it went on from its checkpoint
    is_warned: bool = False  # that its time is nearly over
    stops_at: float = float("inf")  # monotonic clock; its worker is made to die then, so long it may save
    held: int | None = None  # a descriptor that tells others that we are at work on it

    def becomes(self, state: JobState, cause: str = "") -> None:
        """Change the state."""
        self.status = JobStatus(NativeId(self.key), state, cause, attempt=self.attempt)

    def begins(self) -> None:
        """Start its clock, and note in its folder that it runs."""
        self.began_at, self.is_warned = time.monotonic(), False
        self.becomes(JobState.RUNNING, self.status.cause)  # a second attempt goes on to say so
        self.folder.write_status(self.status)

    def is_admitted(self) -> None:
        """Tell other processes, as far as its file system has locks, that this one has taken it on."""
        self.lets_go()
        self.held = self.folder.hold()

    def lets_go(self) -> None:
        """Tell them no more."""
        if self.held is not None:
            os.close(self.held)
            self.held = None

    def ends(self, state: JobState, cause: str = "") -> None:
        """Change to a final state, and note it in its folder."""
        self.becomes(state, cause)
        self.folder.write_status(self.status)
        self.lets_go()

    def warn(self) -> None:
        """Have its task write a checkpoint, if it is one that does."""
        self.is_warned = True
        if self.worker is not None and self.worker.process:
            with suppress(ProcessLookupError):
                os.kill(self.worker.process, signal.SIGUSR1)

    @property
    def is_listening(self) -> bool:
        """Whether its task does something when it is warned, as far as the system tells that (Linux)."""
        return self.worker is not None and bool(self.worker.process) and _catches(self.worker.process)

    @property
    def due_at(self) -> float:
        """When something is to be done about it next (monotonic clock)."""
        return min(self.warns_at, self.ends_at, self.stops_at)

    @property
    def warns_at(self) -> float:
        """When it is to be warned that its time is nearly over (monotonic clock); never a second time."""
        walltime_s = self.spec.resources.walltime_s
        return float("inf") if self.is_warned else self.ends_at - min(_WARNING_S, walltime_s / 2)

    @property
    def ends_at(self) -> float:
        """When its time is up (monotonic clock); never while it waits or is being stopped."""
        if self.began_at is None or self.stopping:
            return float("inf")
        return self.began_at + self.spec.resources.walltime_s


def _catches(process: int) -> bool:
    """Whether a process has a handler for the warning."""
    try:
        with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as file:
            masks = [line.split()[1] for line in file if line.startswith("SigCgt:")]
    except OSError:
        return False
    return any(int(mask, 16) >> (signal.SIGUSR1 - 1) & 1 for mask in masks)


@dataclass(eq=False, slots=True)
class Desk:
    """What a worker is at: its job, whose work it did last, and when that was (a count)."""

    worker: Worker
    job: Job | None = None
    affinity: str = ""
    used: int = 0
    is_leaving: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a job."""
        return self.job is None and not self.is_leaving


def match(queue: Sequence[Job], idle: Sequence[Desk]) -> tuple[Job, Desk]:
    """Pick the next job and its worker: the first job whose client an idle worker knows.

    Without one, the first job gets the worker that nobody is used to, else the one idle for longest. So a job
    waits for the worker that knows it only while no other is idle.
    """
    knowing = {desk.affinity: desk for desk in idle if desk.affinity}
    for job in queue:
        if job.spec.affinity in knowing:
            return job, knowing[job.spec.affinity]
    return queue[0], min(idle, key=_strangeness)


def _strangeness(desk: Desk) -> tuple[bool, bool, int]:
    return bool(desk.affinity), not desk.worker.is_ready, desk.used

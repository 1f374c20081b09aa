"""A scheduler for tests: batch jobs are processes of this machine, and it can be made to fail."""

import os
import signal
import subprocess
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.errors import InvalidSpec
from foedus.core.records import JobState
from foedus.launch.cluster import Order, Refused, Sight, Unreachable


@dataclass
class Batch:
    """One batch job. `end` is what the scheduler says of it whatever its process does."""

    order: Order
    scheduler_id: str
    process: subprocess.Popen[bytes] | None
    end: Sight | None = None
    restarts: int = 0
    waiting: str = ""


@dataclass
class ProcessScheduler:
    """Implements `Scheduler`. `submissions` and `cancels` count what was ever accepted, by name."""

    is_down: bool = False
    loses_answers: bool = False  # it does what it is told, but nobody hears of it
    loses_orders: bool = False  # it does nothing, and nobody hears of it
    refuses: str = ""
    is_holding: bool = False  # new jobs wait
    jobs: dict[str, Batch] = field(default_factory=dict)
    submissions: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    looks: int = 0
    gate: threading.Event | None = None  # looks end no sooner than it is set

    def check(self, order: Order) -> None:
        if order.resources.queue == "unfit":
            raise InvalidSpec("queue cannot be 'unfit'")

    def submit(self, order: Order) -> str:
        self._require_up()
        if self.refuses:
            raise Refused(self.refuses)
        if self.loses_orders:
            raise Unreachable("the order was lost")
        self.submissions.append(order.name)
        batch = Batch(order, str(len(self.submissions)), None)
        self.jobs[order.name] = batch
        if not self.is_holding:
            self._start(batch)
        if self.loses_answers:
            raise Unreachable("the answer was lost")
        return batch.scheduler_id

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        self.looks += 1
        if self.gate is not None:
            self.gate.wait()
        self._require_up()
        return {name: self._sight(batch) for name, batch in dict(self.jobs).items() if name in names}

    def cancel(self, name: str, scheduler_id: str) -> None:
        self._require_up()
        self.cancels.append(name)
        batch = self.jobs.get(name)
        if batch is None or self._sight(batch).state.is_final:
            return
        self._end(batch)
        batch.end = Sight(batch.scheduler_id, JobState.CANCELLED, "CANCELLED", "cancelled by somebody else")

    def log(self, name: str, scheduler_id: str) -> str:
        return ""

    # --- what tests do to it ---

    def restart(self, name: str, keeps_old: bool = False) -> None:
        """Start the job again, as after a failed node; with `keeps_old` the old processes go on."""
        batch = self.jobs[name]
        if not keeps_old:
            self._end(batch)
        batch.restarts += 1
        self._start(batch)

    def fail(self, name: str, sight: Sight) -> None:
        """End the job and say this of it."""
        self._end(self.jobs[name])
        self.jobs[name].end = sight

    def say(self, name: str, state: JobState, **words: str | bool) -> None:
        """Say this of the job, whatever its processes do."""
        self.jobs[name].end = Sight(self.jobs[name].scheduler_id, state, state.upper(), **words)  # type: ignore[arg-type]

    def forget(self, name: str) -> None:
        """Know nothing of the job any more, whatever it does."""
        del self.jobs[name]

    def close(self) -> None:
        """End all processes."""
        for batch in self.jobs.values():
            self._end(batch)

    def _require_up(self) -> None:
        if self.is_down:
            raise Unreachable("the scheduler does not answer")

    def _start(self, batch: Batch) -> None:
        environment = {**os.environ, "SLURM_RESTART_COUNT": str(batch.restarts)}
        log = (Path(batch.order.folder) / "batch.log").open("ab")
        with log:
            batch.process = subprocess.Popen(
                batch.order.argv, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def _end(self, batch: Batch) -> None:
        if batch.process is not None and batch.process.poll() is None:
            for child in _descendants(batch.process.pid):
                os.kill(child, signal.SIGKILL)
            batch.process.kill()
            batch.process.wait()

    def _sight(self, batch: Batch) -> Sight:
        if batch.end is not None:
            return batch.end
        if batch.process is None:
            return Sight(batch.scheduler_id, JobState.QUEUED, "PENDING", "waiting for resources")
        code = batch.process.poll()
        if code is None:
            return Sight(batch.scheduler_id, JobState.RUNNING, "RUNNING")
        state = JobState.COMPLETED if code == 0 else JobState.FAILED
        return Sight(batch.scheduler_id, state, state.upper())


def _descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (*_descendants(int(child)), int(child))]

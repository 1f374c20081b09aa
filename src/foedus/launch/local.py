"""The launcher for one machine: warm worker processes, so that a small job costs no import of torch."""

import os
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from foedus.core.errors import Interrupted, InvalidSpec, TaskFailed
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch._admission import admitted
from foedus.launch._causes import death, out_of_memory
from foedus.launch._code import WorkerCode
from foedus.launch._pool import Done, Ended, News, Pool, Ready, Worker
from foedus.launch._schedule import Desk, Job, match
from foedus.launch.folder import JobFolder

_SAVING_S = 10.0  # so long a cancelled job that listens to warnings may take to save
_GRACE_S = 2.0  # between asking a cancelled job to end and killing it
_REMEMBERED = 4096  # ended jobs that can still be asked for, at least
_CONTINUATIONS = 50  # from checkpoints, as on a cluster
_CLOSED = "the launcher was closed"
_INTERRUPTED = "the command that ran it has ended"


class LocalLauncher:
    """Runs `entry(folder: JobFolder)` in warm workers for every job; implements `core.protocols.Launcher`.

    `entry` and `setup` are "package.module:function"; `setup()` runs once in every new worker. `preload`
    names modules to import before workers are forked. The constructor starts everything in the background and
    returns in milliseconds; jobs submitted meanwhile begin as soon as their worker is ready. `workers`
    defaults to the CPUs we may use; a run gives one per client. `JobSpec.application` is for launchers that
    start a new program and is not used here; of the resources only `walltime_s` and `memory_mb` are: a job
    whose worker and all it started take more memory is killed within about a tenth of a second (Linux).
    Workers see only a harmless part of our environment variables.

    An id is the job's key. A job whose worker dies is run again `retries` times; one that raises is not, for
    it would raise again, nor one that took too much memory in a new worker. A task that is warned (SIGUSR1, a
    minute before its time limit) and writes a checkpoint goes on from there. Jobs die with this process. What
    survives are the folders: submitting the same key with the same folder finds a result that is already
    there; `find` knows this process's jobs, and of those that have ended the last thousands.

    Use it from one thread. Jobs leave the queue and time limits are kept inside `submit`, `states`, `cancel`.
    """

    def __init__(
        self,
        entry: str,
        workers: int | None = None,
        threads: int = 1,
        preload: Sequence[str] = (),
        retries: int = 1,
        setup: str = "",
    ) -> None:
        self._limit = usable_cpus() if workers is None else workers
        if self._limit < 1:
            raise InvalidSpec(f"a launcher needs at least one worker, got {workers}")
        self._retries = retries
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._desks: dict[Worker, Desk] = {}
        self._reported: dict[str, JobStatus] = {}
        self._uses = 0
        self._is_closed = False
        self._pool = Pool(WorkerCode(entry, setup, tuple(preload), threads))
        for _ in range(self._limit):
            self._hire()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        """Queue the job and begin it if a worker is idle. See the class on keys and results already there.

        Raises `InvalidSpec` when the folder is not usable or holds no `spec.json`, and `HomeInUse` when
        another process, or a batch job of a cluster, is at work in it.
        """
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        if key not in self._jobs:
            job = self._jobs[key] = admitted(spec, key, self._retries)
            if not job.status.state.is_final:
                self._queue.append(job)
            self._forget_the_oldest()
        self._turn(0.0)
        return NativeId(key)

    def find(self, key: str) -> NativeId | None:
        """Return the id of the job with this key, if this launcher was given it."""
        return NativeId(key) if key in self._jobs else None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        """Return the states; an id of another process is `LOST`.

        With `wait_s`, block until a state differs from what this method last returned for the job, at most
        that many seconds, and not at all once every one is final.
        """
        deadline = time.monotonic() + wait_s
        self._turn(0.0)
        while not self._is_news(ids) and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        current = {native_id: self._status(native_id) for native_id in ids}
        self._reported.update({key: status for key, status in current.items() if key in self._jobs})
        return current

    def cancel(self, native_id: NativeId) -> None:
        """Stop the job. Queued: at once. Running: its processes are asked to end and killed 2 s later.

        A task that listens to warnings is warned before that, and has 10 s to save. Returns without waiting;
        the job is `CANCELLED` once it has saved, or its last process is dead.
        """
        job = self._jobs.get(native_id)
        if job is None or job.status.state.is_final:
            return
        if job.worker is None:
            self._queue.remove(job)
            job.ends(JobState.CANCELLED, "cancelled before it began")
        else:
            self._stop(job, JobState.CANCELLED, "cancelled while it ran", _GRACE_S, saves=True)
        self._turn(0.0)

    def logs(self, native_id: NativeId) -> str:
        """Return the last 64 KiB of the job's output; empty for an unknown job."""
        job = self._jobs.get(native_id)
        return job.folder.read_log() if job else ""

    def close(self) -> None:
        """Kill what runs and leave no process behind. States can still be asked for. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pool.close()
        self._queue.clear()
        for job in self._jobs.values():
            if not job.status.state.is_final:
                self._settle(job, JobState.CANCELLED, job.stopping.cause if job.stopping else _INTERRUPTED)

    # --- jobs ---

    def _forget_the_oldest(self) -> None:
        """Keep memory constant over thousands of rounds."""
        if len(self._jobs) > 2 * _REMEMBERED:
            ended = [key for key, job in self._jobs.items() if job.status.state.is_final]
            for key in ended[:-_REMEMBERED]:
                del self._jobs[key]
                self._reported.pop(key, None)

    def _settle(self, job: Job, otherwise: JobState, cause: str) -> None:
        """End the job: completed if it left a usable result, whatever happened after that."""
        job.worker = None
        try:
            has_result = job.folder.read_result() is not None
        except TaskFailed as damaged:
            job.ends(JobState.FAILED, str(damaged))
            return
        job.ends(*((JobState.COMPLETED,) if has_result else (otherwise, cause)))

    def _stop(self, job: Job, state: JobState, cause: str, grace_s: float = 0.0, saves: bool = False) -> None:
        """Have the job end, and note what it is then to become; the first reason counts."""
        if job.stopping is None and job.worker is not None:
            job.stopping = JobStatus(NativeId(job.key), state, cause)
            if saves and job.is_listening:
                job.stops_at = time.monotonic() + _SAVING_S
                job.warn()
            else:
                self._dismiss(job.worker, grace_s)

    def _dismiss(self, worker: Worker, grace_s: float) -> None:
        self._desks[worker].is_leaving = True
        self._pool.stop(worker, grace_s)

    def _status(self, native_id: NativeId) -> JobStatus:
        job = self._jobs.get(native_id)
        return job.status if job else JobStatus(native_id, JobState.LOST, "not a job of this process")

    def _is_news(self, ids: Collection[NativeId]) -> bool:
        current = {native_id: self._status(native_id) for native_id in ids}
        return all(status.state.is_final for status in current.values()) or any(
            status != self._reported.get(native_id) for native_id, status in current.items()
        )

    # --- workers ---

    def _turn(self, timeout_s: float) -> None:
        """Wait for something to happen, at most so long, and act on it."""
        if self._is_closed:
            return
        self._assign()
        due = [desk.job.due_at for desk in self._desks.values() if desk.job]
        for news in self._pool.poll(max(0.0, min([timeout_s, *(at - time.monotonic() for at in due)]))):
            self._hear(news)
        self._keep_time()
        self._assign()

    def _hear(self, news: News) -> None:
        desk = self._desks[news.worker]
        match news:
            case Ready():
                if desk.job:
                    desk.job.begins()
            case Done(error=error):
                job, desk.job = desk.job, None
                if job:
                    self._finished(job, error)
            case Ended(worker=worker, code=code, used_mb=used_mb):
                del self._desks[worker]
                if worker.is_ready:  # else it is replaced when a job needs it: no endless loop of starts
                    self._hire()
                if desk.job:
                    self._died(desk.job, code, used_mb)

    def _finished(self, job: Job, error: str) -> None:
        if job.stopping:  # it ended by itself in the very moment, or has saved
            self._settle(job, job.stopping.state, job.stopping.cause)
        elif job.is_warned and job.continued < _CONTINUATIONS and _is_interrupted(job.folder):
            job.continued += 1
            job.worker = None
            self._again(job, "its time was over; it goes on from its checkpoint")
        else:
            self._settle(job, JobState.FAILED, error or "the task ended without a result")

    def _died(self, job: Job, code: int, used_mb: int) -> None:
        """The job's worker is dead and so is all it started: nobody can write into the folder any more."""
        memory_mb = job.spec.resources.memory_mb
        if used_mb and memory_mb:
            cause = out_of_memory(used_mb, memory_mb)
            if job.has_fresh_worker:  # else what earlier jobs left there may be to blame
                job.retries = 0
        else:
            cause = death(code, job.folder.read_log())
        reason = job.stopping or JobStatus(NativeId(job.key), JobState.FAILED, cause)
        self._settle(job, reason.state, reason.cause)
        if job.status.state is JobState.FAILED and not job.stopping and job.retries > 0:
            job.retries -= 1
            self._again(job, f"second attempt: {job.status.cause}")

    def _again(self, job: Job, cause: str) -> None:
        try:
            job.folder.begin(job.key, job.spec.resources)
        except (OSError, ValueError) as error:
            job.ends(JobState.FAILED, f"the job folder cannot be written to: {error}")
            return
        job.began_at = None
        job.attempt += 1
        job.is_admitted()
        job.becomes(JobState.QUEUED, cause)
        self._queue.appendleft(job)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for job in [desk.job for desk in self._desks.values() if desk.job]:
            if job.warns_at <= now < job.ends_at:
                job.warn()
            if job.ends_at <= now:
                limit_s = job.spec.resources.walltime_s
                self._stop(job, JobState.FAILED, f"time limit of {limit_s:g} s reached")
            if job.stops_at <= now and job.worker is not None:
                job.stops_at = float("inf")
                self._dismiss(job.worker, _GRACE_S)

    def _hire(self) -> None:
        worker = self._pool.start()
        self._desks[worker] = Desk(worker)

    def _assign(self) -> None:
        """Give queued jobs to idle workers, replacing missing ones."""
        while self._queue:
            if len(self._desks) < self._limit:
                self._hire()
            idle = [desk for desk in self._desks.values() if desk.is_idle]
            if not idle:
                return
            self._give(*match(self._queue, idle))

    def _give(self, job: Job, desk: Desk) -> None:
        self._queue.remove(job)
        self._uses += 1
        job.has_fresh_worker = not desk.used
        job.worker, desk.job, desk.affinity, desk.used = desk.worker, job, job.spec.affinity, self._uses
        if desk.worker.is_ready:
            job.begins()
        self._pool.give(desk.worker, str(job.folder.path), job.spec.resources.memory_mb or 0)


def _is_interrupted(folder: JobFolder) -> bool:
    failure = folder.read_failure()
    return failure is not None and failure.kind == Interrupted.__name__


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # a batch job's allocation, not the whole node
    return os.cpu_count() or 1

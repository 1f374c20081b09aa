"""What runs inside a held allocation: a warm worker that does one task after the other, as its owner orders.

One allocation is served by one worker, ever. Where a scheduler starts its batch job again, the second
worker ends at once: nobody needs to tell two of them apart.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

from foedus.core.canonical import Json
from foedus.core.errors import TaskFailed
from foedus.launch._causes import death
from foedus.launch._failure import printable
from foedus.launch._pool import Done, Ended, News, Pool, Ready, Worker
from foedus.launch.folder import JobFolder
from foedus.launch.held.letters import Letters, Outbox, TaskOrder
from foedus.launch.held.post import Post
from foedus.launch.inside import claimed

ORDERS, ANSWERS, SERVED = "orders", "answers", "served"
OUT_OF_TIME, STOPPED, ABANDONED = "out of time", "stopped", "abandoned"
"""Why a worker leaves: its time is nearly over, its owner said so, its owner gave no sign of life."""

_ACTIVE_S = 60.0  # so long after a task the next one is likely to come
_CANCEL_GRACE_S = 2.0
_LAST_MOMENTS = 0.1  # of the warning time, kept for leaving in good order
_NEARLY_ALL = 0.9  # of the time that an allocation has for a task: another one would have no more
_FAREWELL_S, _RETRY_S = 5.0, 0.1  # so long our last letters are tried to be sent, and how often
_CAUSE_CHARACTERS = 8000


def serve(folder: JobFolder) -> None:
    """Serve tasks until our time is nearly over, the owner says so, or it is gone."""
    warnings: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: warnings.append(number))
    post = Post.from_json(folder.read_spec())
    take_post(folder)
    orders, answers = Letters(folder.path / ORDERS), Outbox(Letters(folder.path / ANSWERS))
    with closing(Pool(post.code)) as pool:
        service = _Service(post, orders, answers, pool, lambda: bool(warnings))
        reason = service.run()
    answers.send({"left": reason})
    deadline = time.monotonic() + _FAREWELL_S
    while not answers.flush() and time.monotonic() < deadline:
        time.sleep(_RETRY_S)
    folder.finish({"left": reason, "tasks": service.count})


def take_post(folder: JobFolder) -> None:
    """Make sure that nobody else ever serves this allocation. Raises `TaskFailed` when somebody did."""
    try:
        os.mkdir(folder.path / SERVED, 0o700)
    except FileExistsError:
        raise TaskFailed("another worker has served this allocation; it is not served twice") from None


@dataclass(eq=False, slots=True)
class _Running:
    """The task under way. `is_fresh`: its worker had done nothing before."""

    order: TaskOrder
    folder: JobFolder
    is_fresh: bool
    began_at: float = field(default_factory=time.monotonic)
    is_out_of_time: bool = False
    is_warned: bool = False

    @property
    def ends_at(self) -> float:
        return self.began_at + self.order.walltime_s


@dataclass(eq=False, slots=True)
class _Service:
    post: Post
    orders: Letters
    answers: Outbox
    pool: Pool
    is_warned: Callable[[], bool]
    began_at: float = field(default_factory=time.monotonic)
    count: int = 0  # of tasks that ended
    queue: deque[TaskOrder] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)  # names of all tasks that were ever ordered
    running: _Running | None = None
    leaving: str = ""  # why; empty while we serve
    leaves_by: float = float("inf")
    heard_at: float = 0.0  # when the owner last gave a sign of life
    busy_at: float = 0.0
    beats_at: float = 0.0
    ready_at: float = 0.0  # when the first worker was ready; 0 before
    is_near_end: bool = False
    is_stopping: bool = False  # the worker is to die
    is_used: bool = False  # the worker has done something
    worker: Worker = field(init=False)

    def run(self) -> str:
        """Return why we are to leave, once no task is under way, or its time is over, too."""
        self.worker = self.pool.start()
        self.heard_at = self.busy_at = self.began_at
        while True:
            self.answers.flush()
            self._read_orders()
            self._look_at_clock()
            self._begin_next()
            if self.leaving and (self.running is None or time.monotonic() >= self.leaves_by):
                self._tell_what_is_too_long()
                return self.leaving
            for news in self.pool.poll(self._pause_s()):
                self._hear(news)

    # --- what comes ---

    def _read_orders(self) -> None:
        for letter in self.orders.new():
            match letter:
                case {"cancel": str(name)}:
                    self._cancel(name)
                case {"stop": _} | {"over": _} | {"void": _}:
                    self._leave(STOPPED)
                case _:
                    order = TaskOrder.from_letter(letter)
                    if order is not None and order.name not in self.seen:  # a file that shrank is read anew
                        self.seen.add(order.name)
                        self.queue.append(order)
        if self.orders.is_touched():
            self.heard_at = time.monotonic()

    def _cancel(self, name: str) -> None:
        waiting = next((order for order in self.queue if order.name == name), None)
        if waiting is not None:
            self.queue.remove(waiting)
            self._tell_end(name)
        elif self.running is not None and self.running.order.name == name:
            self._stop_worker(_CANCEL_GRACE_S)

    def _leave(self, reason: str) -> None:
        if not self.leaving:
            self.leaving = reason
            self.leaves_by = time.monotonic() + (1 - _LAST_MOMENTS) * self._warning_s
            self.answers.send({"leaving": reason})

    def _tell_what_is_too_long(self) -> None:
        """Name the task under way if it had about all the time that an allocation has for one."""
        if self.running is None or self.leaving != OUT_OF_TIME:
            return
        usual_s = self.post.resources.walltime_s - self._warning_s - (self.ready_at - self.began_at)
        if time.monotonic() - self.running.began_at >= _NEARLY_ALL * usual_s:
            self.answers.send({"too_long": self.running.order.name})

    def _hear(self, news: News) -> None:
        match news:
            case Ready():
                if not self.ready_at:
                    self.ready_at = time.monotonic()
                    self.answers.send({"ready": True})
            case Done(error=error):
                self.is_used = True
                self._end(1 if error else 0, error)
            case Ended(worker=worker, code=code, used_mb=used_mb):
                if not worker.is_ready:
                    raise TaskFailed(f"the worker of a held allocation cannot start: {death(code, '')}")
                self._end(code, used_mb=used_mb)
                self.worker = self.pool.start()
                self.is_stopping = self.is_used = False

    # --- what is due ---

    def _look_at_clock(self) -> None:
        now, times = time.monotonic(), self.post.times
        if self.is_warned():
            self._leave(OUT_OF_TIME)
        if self.running is None and now - self.heard_at > times.idle_s:
            self._leave(ABANDONED)
        if not self.is_near_end and now >= self._near_end_at:
            self.is_near_end = True
            self.answers.send({"near_end": True})
        if now >= self.beats_at and self.answers.touch():
            self.beats_at = now + times.beat_s
        if self.running is not None and now >= self.running.ends_at:
            self.running.is_out_of_time = True
            self._stop_worker(0.0)
        if self.running is not None and self.leaving and not self.running.is_warned and self.worker.process:
            self.running.is_warned = True
            with suppress(ProcessLookupError):
                os.kill(self.worker.process, signal.SIGUSR1)

    @property
    def _warning_s(self) -> float:
        return min(self.post.warning_s, self.post.resources.walltime_s / 2)

    @property
    def _near_end_at(self) -> float:
        walltime_s = self.post.resources.walltime_s
        return self.began_at + walltime_s - min(self.post.times.queue_ahead_s, walltime_s / 2)

    def _pause_s(self) -> float:
        """Return how long to wait for news of the worker until orders and clock are looked at again."""
        now, times = time.monotonic(), self.post.times
        if self.running is not None:
            due = min(self.running.ends_at, self.leaves_by) - now
            return max(0.0, min(times.task_poll_s, times.beat_s, due))
        return min(times.poll_s if now - self.busy_at < _ACTIVE_S else times.idle_poll_s, times.beat_s)

    def _begin_next(self) -> None:
        is_free = self.running is None and self.worker.is_ready and not self.is_stopping
        if not self.queue or not is_free or self.leaving:
            return
        order = self.queue.popleft()
        if JobFolder(order.folder).has_result():  # it was accepted; another one would take its place
            self._tell_end(order.name)
            return
        try:
            folder = claimed(order.folder, order.number)
        except OSError as error:
            self._tell_end(order.name, f"its job folder cannot be used: {error}")
            return
        self.running = _Running(order, folder, not self.is_used)
        self.pool.give(self.worker, order.folder, order.memory_mb, folder.outputs.name)
        self.answers.send({"begun": order.name})

    def _stop_worker(self, grace_s: float) -> None:
        if not self.is_stopping:
            self.is_stopping = True
            self.pool.stop(self.worker, grace_s)

    def _end(self, code: int, error: str = "", used_mb: int = 0) -> None:
        """Note how the task under way ended, if there is one; its result, or its error, it wrote itself."""
        running, self.running = self.running, None
        if running is None:
            return
        self.busy_at = time.monotonic()
        if used_mb and not running.is_fresh:  # what earlier tasks left in the worker may be to blame
            self.queue.appendleft(running.order)
            return
        self.count += 1
        self._tell_end(running.order.name, _noted(running, code, error, used_mb))

    def _tell_end(self, name: str, cause: str = "") -> None:
        self.answers.send({"ended": name, "cause": printable(cause)[:_CAUSE_CHARACTERS]})


def _noted(running: _Running, code: int, error: str, used_mb: int) -> str:
    """Write how the task ended into its folder; return that in words where it cannot be written."""
    report: dict[str, Json] = {
        "code": max(code, 0),
        "signal": max(-code, 0),
        "is_out_of_time": running.is_out_of_time,
        "peak_mb": used_mb,
        "host": os.uname().nodename,
        "seconds": round(time.monotonic() - running.began_at, 3),
        "scheduler_id": os.environ.get("SLURM_JOB_ID", ""),
    }
    try:
        running.folder.write_exit(report)
    except FileNotFoundError:  # its result was taken over already
        return ""
    except (OSError, ValueError):
        return error or "its job folder cannot be written to"
    return ""

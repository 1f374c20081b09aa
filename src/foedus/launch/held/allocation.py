"""One held allocation as its owner sees it: what it was given, and what its worker and its batch job say."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.canonical import Json
from foedus.core.errors import TaskFailed
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch import _files
from foedus.launch._failure import printable
from foedus.launch.cluster.scheduler import Sight
from foedus.launch.folder import JobFolder
from foedus.launch.held.letters import Letters, TaskOrder
from foedus.launch.held.post import Post
from foedus.launch.held.worker import ANSWERS, ORDERS, OUT_OF_TIME, SERVED, take_post

_VOID = "it was given up before it began"
_UNKNOWN = NativeId("")
_QUEUED = JobStatus(_UNKNOWN, JobState.QUEUED)


@dataclass(eq=False, slots=True)
class Allocation:
    """A batch job that serves tasks. `over` says why it serves none any more; then it is final.

    `is_void`: no worker ever served it, nor ever will. `has_successor`: one was asked for, in vain or not.
    """

    folder: JobFolder
    post: Post
    orders: Letters
    answers: Letters
    native_id: NativeId = _UNKNOWN
    status: JobStatus = _QUEUED
    given: dict[str, TaskOrder] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)  # with the cause, where the job folder cannot tell it
    cancelled: set[str] = field(default_factory=set)
    too_long: set[str] = field(default_factory=set)  # they had all the time of an allocation, in vain
    was_running: bool = False  # said its scheduler
    is_ready: bool = False
    is_near_end: bool = False
    is_leaving: bool = False
    is_stopped: bool = False
    is_void: bool = False
    has_successor: bool = False
    left: str = ""
    over: str = ""
    alive_at: float = 0.0  # when its worker last gave a sign of life, or was not expected to
    beats_at: float = 0.0

    @classmethod
    def at(cls, path: Path, post: Post | None = None) -> "Allocation":
        """Make a new one for this post, or read the one that lies there. Raises OSError or `InvalidSpec`."""
        folder = JobFolder(path)
        if post is not None:
            path.mkdir(mode=0o700, parents=True)
            folder.write_spec(post.to_json())
        found = cls(
            folder,
            post or Post.from_json(folder.read_spec()),
            Letters(path / ORDERS),
            Letters(path / ANSWERS),
        )
        if post is not None:
            found.orders.make()
            found.answers.make()
            _files.sync(path)
        found._recall()
        found.read()
        if post is None and not found.over:  # what is over is never written to again
            found.orders.make()
        return found

    @property
    def pending(self) -> list[str]:
        """The tasks that it was given and that have not ended."""
        return [name for name in self.given if name not in self.ended]

    @property
    def takes_orders(self) -> bool:
        """Whether it may be given tasks."""
        return not (self.over or self.is_stopped or self.is_leaving)

    @property
    def is_served(self) -> bool:
        """Whether a worker has begun to serve, or it was made sure that none will."""
        return os.path.lexists(self.folder.path / SERVED)

    @property
    def scheduler_id(self) -> str:
        """What the scheduler calls its batch job, as far as is known."""
        return self.status.scheduler_id or self.native_id

    # --- what its owner does ---

    def give(self, order: TaskOrder) -> None:
        """Order a task. Raises OSError."""
        self.orders.send(order.to_letter(), durable=True)
        self.given[order.name] = order

    def cancel(self, name: str) -> None:
        """Have the task stopped. Raises OSError."""
        if name not in self.cancelled:
            self.orders.send({"cancel": name}, durable=True)
            self.cancelled.add(name)

    def stop(self) -> None:
        """Have the worker leave; a task under way is warned first. Raises OSError."""
        if not self.is_stopped:
            self.orders.send({"stop": True}, durable=True)
            self.is_stopped = True

    def void(self) -> bool:
        """Make sure that it is never served, and tell whether that came in time. Raises OSError."""
        try:
            take_post(self.folder)
        except TaskFailed:
            return False
        self.is_void, self.over = True, _VOID
        self._note({"void": True})
        return True

    def end(self, cause: str) -> None:
        """Note that it serves nobody any more, also where its folder cannot be used any more."""
        self.over = printable(cause)
        self._note({"over": self.over})

    def refuse(self, name: str, cause: str) -> None:
        """Have a task end that this allocation has not done, and that no other one can be found for."""
        self.ended[name] = f"no other held allocation can be had: {cause}"

    def beat(self, now: float) -> None:
        """Give the worker a sign of life, as far as its folder can be used."""
        if now >= self.beats_at:
            with suppress(OSError):
                self.orders.touch()
                self.beats_at = now + self.post.times.beat_s

    def _note(self, letter: Mapping[str, Json]) -> None:
        """Write for later processes what we know in any case: one bad folder must not hold up the others."""
        with suppress(OSError):
            self.orders.send(letter, durable=True)

    # --- what it hears ---

    def read(self) -> None:
        """Read what the worker has answered."""
        for letter in self.answers.new():
            match letter:
                case {"ready": True}:
                    self.is_ready = True
                case {"begun": str(name)}:
                    self.begun.add(name)
                case {"ended": str(name), "cause": str(cause)}:
                    self.ended[name] = cause
                    self._refresh(name)
                case {"too_long": str(name)}:
                    self.too_long.add(name)
                case {"near_end": True}:
                    self.is_near_end = True
                case {"leaving": str()}:
                    self.is_leaving = True
                case {"left": str(reason)}:
                    self.left, self.over = reason, f"its worker has left: {reason}"

    def follow(self, status: JobStatus, now: float) -> None:
        """Hear what the launcher says of its batch job, and draw conclusions."""
        self.status = status
        self.was_running |= status.state is JobState.RUNNING
        if self.answers.is_touched() or not self.is_ready:
            self.alive_at = now
        if self.over:
            return
        silent_s = now - self.alive_at
        if status.state.is_final:
            asked = f" (it asked for {self.post.resources.walltime_s:g} s: held.walltime_s)"
            never_began = status.state is JobState.FAILED and not (self.was_running or self.is_served)
            self.end((status.cause or f"its batch job is {status.state}") + asked * never_began)
        elif self.was_running and status.state is JobState.QUEUED:
            self.end(status.cause or "its batch job was started again")
        elif silent_s > self.post.times.silent_s:
            self.end(f"its worker gave no sign of life for {silent_s:.0f} s")

    def may_move(self, name: str) -> bool:
        """Whether the task can be ordered elsewhere as if nothing had been: it certainly does not run here.

        One that was under way when the time was over has used up an attempt; one that its owner stopped has
        not.
        """
        if not self.over or name in self.ended or name in self.cancelled:
            return False
        return self.is_void or (self.left != "" and (name not in self.begun or self.left != OUT_OF_TIME))

    def sight(self, name: str) -> Sight:
        """Say how the task is, in a scheduler's manner."""
        is_cancelled = name in self.cancelled and (self.over or not self.is_served)
        if name in self.ended:
            return Sight(self.scheduler_id, JobState.COMPLETED, "ended", self.ended[name])
        if is_cancelled:
            return Sight(self.scheduler_id, JobState.CANCELLED, "cancelled", "cancelled before it began")
        if self.over:
            is_late, is_hopeless = self.left == OUT_OF_TIME, name in self.too_long
            cause = f"its held allocation has ended: {self.over}"
            if is_hopeless:  # a checkpoint would be gone on from all the same
                limit_s = self.post.resources.walltime_s
                cause = f"without a checkpoint the task needs longer than held.walltime_s, {limit_s:g} s"
            return Sight(
                self.scheduler_id,
                JobState.FAILED,
                "over",
                cause,
                is_passing=not is_hopeless,
                out_of_time=is_late,
            )
        if name in self.begun:
            return Sight(self.scheduler_id, JobState.RUNNING, "begun")
        if self.status.state is JobState.UNKNOWN and not self.is_ready:
            return Sight(self.scheduler_id, JobState.UNKNOWN, "ordered", self.status.cause)
        return Sight(self.scheduler_id, JobState.QUEUED, "ordered", self._waits_for(name))

    def _waits_for(self, name: str) -> str:
        if self.is_ready:
            return "" if self.pending[0] == name else "waiting for another task of this client"
        if self.status.state is JobState.RUNNING:
            return "the worker of its held allocation starts"
        return f"its held allocation waits: {self.status.cause or 'in the queue'}"

    def _recall(self) -> None:
        """Read our own letters, of an earlier process."""
        for letter in self.orders.new():
            match letter:
                case {"cancel": str(name)}:
                    self.cancelled.add(name)
                case {"stop": True}:
                    self.is_stopped = True
                case {"void": True}:
                    self.is_void, self.over = True, _VOID
                case {"over": str(cause)}:
                    self.over = cause
                case _:
                    order = TaskOrder.from_letter(letter)
                    self.given |= {order.name: order} if order else {}

    def _refresh(self, name: str) -> None:
        """Change a task's folders, for NFS remembers for half a minute that a file was not there yet."""
        if name in self.given:
            task = JobFolder(self.given[name].folder)
            for attempt in task.attempts():
                with suppress(OSError):
                    os.utime(task.path / attempt, follow_symlinks=False)

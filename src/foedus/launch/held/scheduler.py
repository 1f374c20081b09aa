"""The scheduler whose nodes are held allocations: what it is ordered to run goes to a worker that is warm."""

import fcntl
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from foedus.core.errors import FoedusError, HomeInUse
from foedus.core.protocols import Launcher
from foedus.core.records import JobState
from foedus.launch._code import WorkerCode
from foedus.launch.cluster.scheduler import Order, Program, Sight, Unreachable
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.holdings import Holdings
from foedus.launch.held.letters import TaskOrder
from foedus.launch.held.post import HeldTimes, Post

_TICK_S = 1.0
_LOCK = "lock"


class HeldScheduler:
    """Implements `foedus.launch.cluster.Scheduler` on top of a launcher.

    `inner` runs the allocations' batch jobs, by `holding_program(program)`. Allocations lie below `folder`, a
    folder for each of their groups; `HomeInUse` is raised while another process has it. Those of an earlier
    process that was killed are taken up again. A thread gives signs of life and sees to it that a successor
    is queued in time; a lock keeps the threads apart.
    """

    def __init__(
        self,
        inner: Launcher,
        program: Program,
        folder: Path,
        preload: tuple[str, ...] = (),
        times: HeldTimes | None = None,
    ) -> None:
        self._inner = inner
        self._code = WorkerCode(program.entry, program.setup, preload, program.threads)
        self._warning_s = program.warning_s
        self._times = times or HeldTimes()
        self._followed: set[str] = set()  # those that our launcher has submitted or asked for
        self._unasked: set[str] = set()  # those of them that it did not ask for last time
        self._trouble = ""  # why the allocations are not looked after
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._ours = _taken(folder)
        self._holdings = Holdings(inner, folder, self._times)
        self._tasks = self._holdings.take_up()
        self._thread = threading.Thread(target=self._keep, name="foedus-held", daemon=True)
        self._thread.start()

    def check(self, order: Order) -> None:
        """Raise nothing: the first submission of an allocation tells whether its resources can be had."""

    def submit(self, order: Order) -> str:
        """Give the task to its client's allocation, after queueing one where there is none. See `Scheduler`.

        Raises `InvalidSpec` when `inner` says that the resources cannot be had.
        """
        with self._lock, _telling_troubles():
            self._require_keeping()
            if self._closing.is_set():
                raise Unreachable("the launcher was closed")
            if order.name not in self._tasks:
                number, resources = int(order.name.rpartition("-")[2]), order.resources
                task = TaskOrder(
                    order.name, order.folder, number, resources.walltime_s, resources.memory_mb or 0
                )
                post = Post(order.affinity, resources, self._code, self._warning_s, self._times)
                self._tasks[order.name] = self._holdings.order(task, post)
            self._followed.add(order.name)
            return self._tasks[order.name].scheduler_id

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Read the answers of the workers. See `Scheduler`."""
        with self._lock, _telling_troubles():
            self._require_keeping()
            known = [name for name in names if name in self._tasks]
            self._forget_tasks(known)
            for allocation in {id(a): a for a in map(self._tasks.__getitem__, known)}.values():
                allocation.read()
            return {name: self._sight(name) for name in known}

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Have the worker stop the task; the allocation goes on. See `Scheduler`."""
        with self._lock, _telling_troubles():
            allocation = self._tasks.get(name)
            if allocation is not None and not allocation.over:
                try:
                    allocation.cancel(name)
                except OSError as error:
                    self._holdings.give_up(allocation, error)

    def log(self, name: str, scheduler_id: str) -> str:
        """Return what the worker has printed beside its tasks."""
        with self._lock:
            return self._inner.logs(self._tasks[name].native_id) if name in self._tasks else ""

    def close(self) -> None:
        """Give all allocations back: workers leave, tasks under way are warned first. Idempotent.

        Batch jobs whose workers have not left after `grace_s`, or that have not begun, are cancelled.
        """
        if self._ours.closed:
            return
        self._closing.set()
        self._thread.join()
        with self._lock, self._ours:
            self._holdings.give_back()

    # --- tasks ---

    def _sight(self, name: str) -> Sight:
        """Say how a task is, after ordering it elsewhere where that is due. One in trouble is alone in it."""
        allocation = self._tasks[name]
        if allocation.may_move(name) and not self._closing.is_set():
            try:
                self._tasks[name] = self._holdings.order(allocation.given[name], allocation.post)
            except (OSError, Unreachable) as error:  # it is tried again with the next look
                cause = f"no other held allocation can be had now: {error}"
                return Sight(allocation.scheduler_id, JobState.UNKNOWN, "over", cause)
            except FoedusError as error:
                allocation.refuse(name, error.message)
        return self._tasks[name].sight(name)

    def _forget_tasks(self, asked: Collection[str]) -> None:
        """Forget what our launcher is done with: it does not ask for that twice in a row.

        Once may be by chance: the task was submitted after the question was made up.
        """
        self._followed.update(asked)
        unasked = self._followed.difference(asked)
        for name in unasked & self._unasked:
            self._tasks.pop(name, None)
            self._followed.discard(name)
        self._unasked = unasked & self._followed

    def _has_wanted(self, allocation: Allocation) -> bool:
        """Whether our launcher follows one of its tasks, or may yet ask for one that did not end."""
        own = [name for name in allocation.given if self._tasks.get(name) is allocation]
        return any(name in self._followed or name not in allocation.ended for name in own)

    # --- the thread ---

    def _keep(self) -> None:
        while not self._closing.wait(min(_TICK_S, self._times.beat_s)):
            with self._lock:
                try:
                    self._holdings.tick(time.monotonic())
                    for allocation in self._holdings.forget_all_but(self._has_wanted):
                        self._tasks = {n: a for n, a in self._tasks.items() if a is not allocation}
                    self._trouble = ""
                except Exception as error:  # whatever it is, whoever waits for a task is told, and we go on
                    what = f"{type(error).__name__}: {error}"
                    self._trouble = f"held allocations cannot be looked after: {what}"

    def _require_keeping(self) -> None:
        if self._trouble:
            raise Unreachable(self._trouble)


def _taken(folder: Path) -> BinaryIO:
    """Return an open file that keeps other processes away until it is closed. Raises `HomeInUse`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise HomeInUse(f"another process holds the allocations in {folder}", "Wait for its end.") from error
    return file


@contextmanager
def _telling_troubles() -> Iterator[None]:
    """Tell what goes wrong with files as what a scheduler that cannot be reached would say."""
    try:
        yield
    except OSError as error:
        raise Unreachable(f"the folder of held allocations cannot be used: {error}") from error

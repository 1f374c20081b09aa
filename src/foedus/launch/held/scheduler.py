"""The scheduler whose nodes are held allocations: what it is ordered to run goes to a worker that is warm."""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import FoedusError, HomeInUse
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec
from foedus.launch._code import WorkerCode
from foedus.launch.cluster.scheduler import Order, Program, Sight, Unreachable
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.letters import TaskOrder
from foedus.launch.held.post import APPLICATION, HeldTimes, Post

_TICK_S = 1.0
_LOOK_S = 0.05
_DIGITS = 16
_LOCK = "lock"

Group: TypeAlias = str
"""A client, what its tasks ask for, and their code, as a hash: they share allocations."""


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
        self._inner, self._folder = inner, folder
        self._code = WorkerCode(program.entry, program.setup, preload, program.threads)
        self._warning_s = program.warning_s
        self._times = times or HeldTimes()
        self._groups: dict[Group, list[Allocation]] = {}
        self._tasks: dict[str, Allocation] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._ours = _taken(folder)
        self._take_up()
        self._thread = threading.Thread(target=self._keep, name="foedus-held", daemon=True)
        self._thread.start()

    def check(self, order: Order) -> None:
        """Raise nothing: the first submission of an allocation tells whether its resources can be had."""

    def submit(self, order: Order) -> str:
        """Give the task to its client's allocation, after queueing one where there is none. See `Scheduler`.

        Raises `InvalidSpec` when `inner` says that the resources cannot be had.
        """
        with self._lock, _telling_troubles():
            if self._closing.is_set():
                raise Unreachable("the launcher was closed")
            if order.name not in self._tasks:
                number, resources = int(order.name.rpartition("-")[2]), order.resources
                task = TaskOrder(
                    order.name, order.folder, number, resources.walltime_s, resources.memory_mb or 0
                )
                self._place(task, Post(order.affinity, resources, self._code, self._warning_s, self._times))
            return self._tasks[order.name].scheduler_id

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Read the answers of the workers. See `Scheduler`."""
        with self._lock, _telling_troubles():
            known = [name for name in names if name in self._tasks]
            for allocation in {id(a): a for a in map(self._tasks.__getitem__, known)}.values():
                allocation.read()
            for name in known:
                allocation = self._tasks[name]
                if allocation.may_move(name) and not self._closing.is_set():
                    self._place(allocation.given[name], allocation.post)
            return {name: self._tasks[name].sight(name) for name in known}

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Have the worker stop the task; the allocation goes on. See `Scheduler`."""
        with self._lock, _telling_troubles():
            if name in self._tasks and not self._tasks[name].over:
                self._tasks[name].cancel(name)

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
            for allocation in self._live():
                with suppress(OSError):
                    allocation.stop()
                    if not allocation.is_served and allocation.void():
                        self._inner.cancel(allocation.native_id)
            deadline = time.monotonic() + self._times.grace_s
            while self._live() and time.monotonic() < deadline:
                time.sleep(_LOOK_S)
                for allocation in self._live():
                    allocation.read()
            for allocation in self._live():
                self._inner.cancel(allocation.native_id)

    # --- allocations ---

    def _live(self) -> list[Allocation]:
        return [a for group in self._groups.values() for a in group if not a.over]

    def _take_up(self) -> None:
        """Find the allocations of an earlier process, and the tasks that these were given."""
        for path in sorted(self._folder.glob("*/[0-9]*")):
            try:
                allocation = Allocation.at(path)
            except (OSError, FoedusError):  # it was not made to its end: nobody was given anything there
                continue
            self._groups.setdefault(path.parent.name, []).append(allocation)
            self._tasks.update(dict.fromkeys(allocation.given, allocation))
            if not allocation.over:
                with suppress(FoedusError):  # then it has ended
                    self._queue_batch_job(allocation)

    def _place(self, task: TaskOrder, post: Post) -> None:
        """Order the task of the newest allocation that is ready, else of one that is queued for its group."""
        group = _group_of(post)
        takers = [a for a in self._groups.get(group, []) if a.takes_orders]
        ready = [a for a in takers if a.is_ready]
        chosen = (ready or takers or [self._new_allocation(post)])[-1]
        chosen.give(task)
        self._tasks[task.name] = chosen

    def _new_allocation(self, post: Post) -> Allocation:
        """Queue one more allocation of a group. Raises OSError or `FoedusError`."""
        resources = replace(post.resources, walltime_s=self._times.walltime_s)
        folder = self._folder / _group_of(post)
        number = max((int(p.name) for p in folder.glob("[0-9]*") if p.name.isdecimal()), default=0) + 1
        allocation = Allocation.at(folder / f"{number:04}", replace(post, resources=resources))
        self._groups.setdefault(folder.name, []).append(allocation)
        self._queue_batch_job(allocation)
        return allocation

    def _queue_batch_job(self, allocation: Allocation) -> None:
        """Have it queued, or taken up where an earlier process did that. With a `FoedusError` it is over."""
        path, post = allocation.folder.path, allocation.post
        spec = JobSpec(APPLICATION, str(path), post.resources, post.affinity)
        try:
            allocation.native_id = self._inner.submit(spec, f"held/{path.parent.name}/{path.name}")
        except FoedusError as error:
            allocation.end(error.message)
            raise

    # --- the thread ---

    def _keep(self) -> None:
        while not self._closing.wait(min(_TICK_S, self._times.beat_s)):
            with self._lock, suppress(OSError):  # whoever waits for a task is told by `look`
                self._tick(time.monotonic())

    def _tick(self, now: float) -> None:
        live = self._live()
        statuses = self._inner.states([a.native_id for a in live])
        for allocation in live:
            allocation.beat(now)
            allocation.read()
            allocation.follow(statuses[allocation.native_id], now)
            if allocation.over and not allocation.left:
                self._inner.cancel(allocation.native_id)  # harmless for one that has ended
        for group in self._groups.values():
            self._tend([a for a in group if not a.over])

    def _tend(self, live: list[Allocation]) -> None:
        """Queue a successor in time, and release those that have one."""
        if not live:
            return
        newest = live[-1]
        for older in live[:-1]:
            if newest.is_ready and not older.pending:
                older.stop()
        is_ending = newest.is_near_end or newest.is_leaving
        if is_ending and newest.given and not newest.is_stopped and not newest.has_successor:
            newest.has_successor = True
            with suppress(FoedusError):  # then the next task asks for one, and is told
                self._new_allocation(newest.post)


def _group_of(post: Post) -> Group:
    wanted = asdict(replace(post.resources, walltime_s=0.0))
    same: list[Json] = [post.affinity, wanted, asdict(post.code)]
    return hashlib.sha256(canonical_json(same)).hexdigest()[:_DIGITS]


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

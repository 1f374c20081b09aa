"""The held allocations of one folder: queued where they are needed, looked after, and given back."""

import errno
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec
from foedus.launch._attempts import remove_tree
from foedus.launch.held.allocation import Allocation
from foedus.launch.held.letters import TaskOrder
from foedus.launch.held.post import APPLICATION, HeldTimes, Post

_LOOK_S = 0.05
_END_S = 5.0  # a cluster takes so long to tell the end of a batch job, mostly
_DIGITS = 16
_FULL = (errno.ENOSPC, errno.EDQUOT)

Group: TypeAlias = str
"""A client, what its tasks ask for, and their code, as a hash: they share allocations."""


class Holdings:
    """All allocations below `folder`, a folder for each of their groups; `inner` runs their batch jobs.

    For one thread at a time, of the only process that has the folder.
    """

    def __init__(self, inner: Launcher, folder: Path, times: HeldTimes) -> None:
        self._inner, self._folder, self._times = inner, folder, times
        self._groups: dict[Group, list[Allocation]] = {}

    def take_up(self) -> dict[str, Allocation]:
        """Find what an earlier process left, but for what is over and owes nothing.

        Returns whose each task is: one that was moved is of the allocation that was given it last.
        """
        found = [a for path in sorted(self._folder.glob("*/[0-9]*")) if (a := _read(path)) is not None]
        owners = {name: allocation for allocation in found for name in allocation.given}
        for allocation in found:
            if allocation.over and not allocation.pending:
                continue
            self._groups.setdefault(allocation.folder.path.parent.name, []).append(allocation)
            if not allocation.over:
                with suppress(FoedusError):  # then it has ended
                    self._queue_batch_job(allocation)
        kept = {id(allocation) for group in self._groups.values() for allocation in group}
        return {name: allocation for name, allocation in owners.items() if id(allocation) in kept}

    def order(self, task: TaskOrder, post: Post) -> Allocation:
        """Order the task of the newest allocation that is ready, else of one that is queued for its group.

        Returns the one that got the order. Raises OSError or `FoedusError`.
        """
        takers = [a for a in self._groups.get(_group_of(post), []) if a.takes_orders]
        for taker in sorted(takers, key=lambda a: a.is_ready)[::-1]:
            try:
                taker.give(task)
            except OSError as error:
                self.give_up(taker, error)
            else:
                return taker
        new = self._new_allocation(post)
        new.give(task)
        return new

    def give_up(self, allocation: Allocation, error: OSError) -> None:
        """End an allocation whose mailbox cannot be written to. A full disk passes, and is raised again."""
        if error.errno in _FULL:
            raise error
        allocation.end(f"its folder cannot be used: {error}")
        self._inner.cancel(allocation.native_id)

    def tick(self, now: float) -> None:
        """Give signs of life, hear those of the workers, and see to it that successors are queued in time."""
        live = self._live()
        for allocation in live:
            allocation.beat(now)
        statuses = self._inner.states([a.native_id for a in live])
        for allocation in live:
            allocation.read()
            allocation.follow(statuses[allocation.native_id], now)
            if allocation.over and not allocation.left:
                self._inner.cancel(allocation.native_id)  # harmless for one that has ended
        for group in self._groups.values():
            self._tend([a for a in group if not a.over])

    def forget_all_but(self, is_wanted: Callable[[Allocation], bool]) -> list[Allocation]:
        """Forget, and return, what is over and not wanted any more."""
        gone = []
        for group in self._groups.values():
            gone += [a for a in group if a.over and not is_wanted(a)]
            group[:] = [a for a in group if a not in gone]
        return gone

    def give_back(self) -> None:
        """Have all workers leave, and cancel the batch jobs of those that do not leave in time.

        Waits some seconds more for the ends of the batch jobs, so that their last states are noted.
        """
        given_back = self._live()
        for allocation in given_back:
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
        self._see_off([allocation.native_id for allocation in given_back])

    def _see_off(self, ids: list[NativeId]) -> None:
        """Let the launcher note how batch jobs end: nobody asks for them once we are gone."""
        deadline = time.monotonic() + min(self._times.grace_s, _END_S)
        while (left_s := deadline - time.monotonic()) > 0:
            if all(status.state.is_final for status in self._inner.states(ids, left_s).values()):
                return
            time.sleep(_LOOK_S)

    def _live(self) -> list[Allocation]:
        return [a for group in self._groups.values() for a in group if not a.over]

    def _new_allocation(self, post: Post) -> Allocation:
        """Queue one more allocation of a group. Raises OSError or `FoedusError`."""
        resources = replace(post.resources, walltime_s=self._times.walltime_s)
        folder = self._folder / _group_of(post)
        number = max((int(p.name) for p in folder.glob("[0-9]*") if p.name.isdecimal()), default=0) + 1
        path = folder / f"{number:04}"
        try:
            allocation = Allocation.at(path, replace(post, resources=resources))
            self._queue_batch_job(allocation)
        except (OSError, InvalidSpec):  # nobody has it, so the next one may have its number
            remove_tree(path)
            raise
        self._groups.setdefault(folder.name, []).append(allocation)
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

    def _tend(self, live: list[Allocation]) -> None:
        """Queue a successor in time, and release those that have one."""
        if not live:
            return
        newest = live[-1]
        for older in live[:-1]:
            if newest.is_ready and not older.pending:
                with suppress(OSError):  # then silence ends it
                    older.stop()
        is_ending = newest.is_near_end or newest.is_leaving
        if is_ending and newest.given and not newest.is_stopped and not newest.has_successor:
            newest.has_successor = True
            with suppress(OSError, FoedusError):  # then the next task asks for one, and is told
                self._new_allocation(newest.post)


def _read(path: Path) -> Allocation | None:
    try:
        return Allocation.at(path)
    except (OSError, FoedusError):  # it was not made to its end: nobody was given anything there
        return None


def _group_of(post: Post) -> Group:
    wanted = asdict(replace(post.resources, walltime_s=0.0))
    same: list[Json] = [post.affinity, wanted, asdict(post.code)]
    return hashlib.sha256(canonical_json(same)).hexdigest()[:_DIGITS]

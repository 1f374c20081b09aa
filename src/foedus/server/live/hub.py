"""One look at the database for all who watch: whoever listens to a run is woken when it has news."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, TypeAlias

from anyio.to_thread import run_sync
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.server.db import AppJob, Decision, Run, RunEvent
from foedus.server.platform import Platform

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5
_SHARED_S: Final = 1.0  # what is younger is given to all who are woken by the same news
_OVERLAP: Final = 500  # events looked at again: those of another run may have been committed out of order

ANYTHING: Final = 0
"""What to listen to for news of all runs, ballots and batch jobs."""

Part: TypeAlias = tuple[str, bool]
"""The live part of a run's page, and whether the run is over."""


class Hub:
    """Wakes listeners. It looks only while somebody listens, and holds no connection in between."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._newest: dict[int, int] = {}  # of each run, the id of its newest event
        self._looked = 0  # up to this id
        self._pulse: tuple[object, ...] = ()  # changes when anything does
        self._listeners: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._made: dict[int, tuple[int, float, asyncio.Task[Part]]] = {}  # of each run: up to, when, what

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self._listeners.values()))

    async def close(self) -> None:
        """Send all listeners away, and wait until no look is under way; there is none afterwards."""
        self._closed.set()
        for woken in [woken for listeners in self._listeners.values() for woken in listeners]:
            woken.set()
        if self._looking is not None and not self._looking.done():
            await self._looking

    async def news(self, run: int, beat_s: float = 15.0) -> AsyncGenerator[int | None]:
        """Yield the id of the run's newest event at once, then of each newer one; None as a sign of life.

        For `ANYTHING` it yields numbers that rise with each change. It ends when the hub is closed.
        """
        woken = asyncio.Event()
        self._listeners[run].add(woken)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            told = await run_sync(self._newest_of, run)
            yield told
            while not self._closed.is_set():
                try:
                    await asyncio.wait_for(woken.wait(), beat_s)
                except TimeoutError:
                    yield None
                    continue
                woken.clear()
                if (newest := self._newest.get(run, 0)) > told:
                    told = newest
                    yield told
        finally:
            self._listeners[run].discard(woken)
            if not self._listeners[run]:
                del self._listeners[run]
                self._made.pop(run, None)
                if run != ANYTHING:
                    self._newest.pop(run, None)

    async def shared(self, run: int, newest: int, make: Callable[[int], Part]) -> Part:
        """Return what `make` makes of the run with the event `newest`, in a thread, once for all listeners.

        Somebody who comes later is given something new: not all that is shown is told by events.
        """
        now = asyncio.get_running_loop().time()
        known = self._made.get(run)
        is_new = known is not None and (not known[2].done() or now - known[1] < _SHARED_S)
        if known is None or known[0] != newest or not is_new:
            known = self._made[run] = newest, now, asyncio.create_task(run_sync(make, run))
        try:
            return await asyncio.shield(known[2])  # a listener that leaves must not end it for the others
        except Exception:
            if self._made.get(run) is known:
                del self._made[run]  # the next one tries again
            raise

    async def _look(self) -> None:
        """Look for events as long as somebody listens."""
        while not await self._is_closed_within(_PAUSE_S) and self._listeners:
            try:
                found = await run_sync(self._found)
            except SQLAlchemyError as error:  # away for a moment: listeners keep what they have
                _log.warning("the live pages cannot look: %s", error)
                found = {}
            except Exception:  # a defect: said once a look, and no reason to stop looking
                _log.exception("the live pages cannot look")
                found = {}
            for run, newest in found.items():
                if run != ANYTHING:
                    self._looked = max(self._looked, newest)
                if newest > self._newest.get(run, 0):
                    self._newest[run] = newest
                    for woken in self._listeners.get(run, ()):
                        woken.set()

    async def _is_closed_within(self, seconds: float) -> bool:
        try:
            return await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return False

    def _found(self) -> Mapping[int, int]:
        since = self._looked - _OVERLAP
        newest = select(RunEvent.run_id, func.max(RunEvent.id)).where(RunEvent.id > since)
        with self._platform.reading() as db:
            found: dict[int, int] = dict(db.execute(newest.group_by(RunEvent.run_id)).all())
            if ANYTHING in self._listeners:
                states = select(AppJob.state, func.count()).group_by(AppJob.state).order_by(AppJob.state)
                pulse = (
                    max(found.values(), default=0),
                    db.scalar(select(func.max(Run.id))),
                    db.scalar(select(func.max(Decision.id))),
                    *map(tuple, db.execute(states)),
                )
                if pulse != self._pulse:
                    self._pulse = pulse
                    found[ANYTHING] = self._newest.get(ANYTHING, 0) + 1
            return found

    def _newest_of(self, run: int) -> int:
        with self._platform.reading() as db:
            found = db.scalar(select(func.max(RunEvent.id)).where(RunEvent.run_id == run))
            self._looked = max(self._looked, db.scalar(select(func.max(RunEvent.id))) or 0)
            return found or 0

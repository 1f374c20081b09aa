"""One look at the database for all who watch: whoever listens to a run is woken when it has news."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, TypeAlias

from anyio.to_thread import run_sync
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.server.db import RunEvent
from foedus.server.platform import Platform

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5
_SHARED_S: Final = 1.0  # what is younger is given to all who are woken by the same news
_OVERLAP: Final = 500  # events looked at again: those of another run may have been committed out of order

Part: TypeAlias = tuple[str, bool]
"""The live part of a run's page, and whether the run is over."""


class Hub:
    """Wakes listeners. It looks only while somebody listens, and holds no connection in between."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._newest: dict[int, int] = {}  # of each run, the id of its newest event
        self._looked = 0  # up to this id
        self._listeners: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._made: dict[int, tuple[int, float, asyncio.Task[Part]]] = {}  # of each run: up to, when, what

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self._listeners.values()))

    async def close(self) -> None:
        """Wait until no look is under way; there is none afterwards."""
        self._closed.set()
        if self._looking is not None:
            await self._looking

    async def news(self, run: int, beat_s: float = 15.0) -> AsyncGenerator[int | None]:
        """Yield the id of the run's newest event at once, then of each newer one; None as a sign of life."""
        woken = asyncio.Event()
        self._listeners[run].add(woken)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            told = await run_sync(self._newest_of, run)
            self._newest[run] = max(told, self._newest.get(run, 0))
            yield told
            while True:
                try:
                    await asyncio.wait_for(woken.wait(), beat_s)
                except TimeoutError:
                    yield None
                    continue
                woken.clear()
                if self._newest[run] > told:
                    told = self._newest[run]
                    yield told
        finally:
            self._listeners[run].discard(woken)
            if not self._listeners[run]:
                del self._listeners[run]
                self._made.pop(run, None)

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
            for run, newest in found.items():
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
            return dict(db.execute(newest.group_by(RunEvent.run_id)).all())

    def _newest_of(self, run: int) -> int:
        with self._platform.reading() as db:
            found = db.scalar(select(func.max(RunEvent.id)).where(RunEvent.run_id == run))
            self._looked = max(self._looked, db.scalar(select(func.max(RunEvent.id))) or 0)
            return found or 0

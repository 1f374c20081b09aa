"""Asks the scheduler about all jobs at once, in the background and not too often."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from foedus.core.errors import FoedusError
from foedus.launch.cluster._job import Times
from foedus.launch.cluster.scheduler import Scheduler, Sight

_SLOWER = 1.5  # the pause grows by this factor while nothing changes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the scheduler said to one question about all jobs, or why it said nothing."""

    asked: Collection[str]
    sights: Mapping[str, Sight]
    error: str = ""


class Inquiry:
    """At most one question at a time, each in a thread that keeps no process from ending."""

    def __init__(self, scheduler: Scheduler, times: Times, clock: Callable[[], float]) -> None:
        self._scheduler, self._times, self._clock = scheduler, times, clock
        self._asking: Future[Answer] | None = None
        self._next = 0.0
        self._pause_s = times.poll_s
        self._is_closed = False

    def soon(self) -> None:
        """Ask as soon as may be: something has changed."""
        self._pause_s = self._times.poll_s
        self._next = min(self._next, self._clock() + self._pause_s)

    def ask(self, names: Collection[str]) -> None:
        """Ask about these, unless a question is under way or it is too soon."""
        if self._is_closed or self._asking is not None or self._clock() < self._next:
            return
        self._asking = Future()
        arguments = (self._asking, self._scheduler, names)
        threading.Thread(target=_ask, args=arguments, name="foedus-scheduler", daemon=True).start()

    def answer(self) -> Answer | None:
        """Return the answer that has come since the last call, if one has."""
        if self._asking is None or not self._asking.done():
            return None
        asking, self._asking = self._asking, None
        self._next = self._clock() + self._pause_s
        return asking.result()

    def pace(self, is_quiet: bool) -> None:
        """Plan the next question: later and later while nothing changes."""
        longest = self._times.slow_poll_s if is_quiet else self._times.poll_s
        self._pause_s = min(self._pause_s * _SLOWER, longest) if is_quiet else self._times.poll_s
        self._next = self._clock() + self._pause_s

    def close(self) -> None:
        """Ask no more, and do not wait for an answer that is still to come. Idempotent."""
        self._is_closed = True


def _ask(answer: "Future[Answer]", scheduler: Scheduler, names: Collection[str]) -> None:
    try:
        answer.set_result(Answer(names, scheduler.look(names)))
    except FoedusError as error:
        answer.set_result(Answer(names, {}, error.message))
    except BaseException as error:
        answer.set_exception(error)

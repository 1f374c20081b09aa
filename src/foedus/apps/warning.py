"""The warning that a batch job's time is nearly over, as an application hears it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_warning(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` when SIGUSR1 comes; afterwards the signal is what it was. For the main thread only."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)

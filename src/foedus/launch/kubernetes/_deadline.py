"""A time limit for what cannot be given one: looking up names, login programs, answers that trickle in."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from foedus.launch.cluster import Unreachable

Result = TypeVar("Result")


def within(limit_s: float, function: Callable[[], Result]) -> Result:
    """Return what the function returns, or raise what it raises.

    Raises `Unreachable` when it takes longer; it then goes on in a thread that does not hold up our end.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="foedus-kubernetes", daemon=True).start()
    try:
        return outcome.result(limit_s)
    except TimeoutError as error:
        if outcome.done():
            raise
        raise Unreachable(f"Kubernetes does not answer: nothing came within {limit_s:g} s") from error

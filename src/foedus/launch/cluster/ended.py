"""What the attempts of a job left behind: which has a result, and how the newest one ended, in words."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from foedus.core.canonical import Json
from foedus.core.errors import Interrupted, TaskFailed
from foedus.core.records import Resources
from foedus.launch._attempts import attempt_order
from foedus.launch._causes import death, out_of_memory
from foedus.launch._failure import Failure
from foedus.launch.folder import JobFolder

_NEARLY_ALL = 0.85  # of the memory asked for: then a kill was most likely for memory


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the newest attempt ended. `failure` is what its task raised; `words` tell a death without that."""

    attempt: str
    failure: Failure | None = None
    words: str = ""
    is_interrupted: bool = False  # it wrote a checkpoint and wants to go on
    is_out_of_time: bool = False


def attempt_with_result(folder: JobFolder) -> str | None:
    """Return the first attempt that has a usable result; None while none has."""
    for attempt in folder.attempts():
        try:
            if JobFolder(folder.path, attempt).read_result() is not None:
                return attempt
        except TaskFailed:
            continue
    return None


def newest_outcome(folder: JobFolder, resources: Resources, number: int) -> Outcome | None:
    """Say how the newest attempt of this submission ended; None while nothing says so."""
    attempt = newest_attempt(folder, number)
    if attempt is None:
        return None
    newest = JobFolder(folder.path, attempt)
    failure, report = newest.read_failure(), newest.read_exit()
    try:
        if newest.read_result() is not None:  # it came in this very moment
            return None
    except TaskFailed as damaged:
        failure = failure or Failure("TaskFailed", str(damaged))
    if failure is not None:
        return Outcome(attempt, failure, is_interrupted=failure.kind == Interrupted.__name__)
    if report is None:
        return None
    if report.get("is_out_of_time") is True:
        limit = f"{resources.walltime_s:g}"
        return Outcome(attempt, words=f"time limit of {limit} s reached", is_out_of_time=True)
    return Outcome(attempt, words=_in_words(report, resources.memory_mb, folder.read_log()))


def newest_attempt(folder: JobFolder, number: int) -> str | None:
    """Return the newest attempt of this submission; None before its first one."""
    own = [name for name in folder.attempts() if (attempt_order(name) or (-1,))[0] == number]
    return own[-1] if own else None


def _in_words(report: Mapping[str, Json], memory_mb: int | None, log: str) -> str:
    number, code, peak = (_count(report, name) for name in ("signal", "code", "peak_mb"))
    if number == 0 and code == 0:
        return "the task ended without a result"
    words = death(-number if number else code, log)
    if number == signal.SIGKILL and memory_mb and peak >= _NEARLY_ALL * memory_mb:
        return f"{out_of_memory(peak, memory_mb)}; {words}"
    return words


def _count(report: Mapping[str, Json], name: str) -> int:
    value = report.get(name)
    return value if type(value) is int and value >= 0 else 0

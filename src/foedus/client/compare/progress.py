"""Shows a comparison while it goes on: one bar in a terminal, plain lines everywhere else."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from foedus.client.compare.running import BEGINS, ENDED
from foedus.client.output import console, one_line, seconds_text
from foedus.learn.score_words import UNKNOWN
from foedus.rounds.progress import Observer, Progress

if TYPE_CHECKING:
    from rich.console import Console

SIMULATED: Final = "simulation"
"""`Progress.what` of the records while simulations run: `done`, `of` and the `name` of one."""

_FRAMES_PER_S = 5


class CompareWatch:
    """Takes in the records of a comparison: what is going on now, and lines that are worth keeping."""

    def __init__(self) -> None:
        self.run, self.runs = 0, 1  # number of the run that is under way, of how many
        self.round, self.rounds = 0, 1  # that ended in it, of how many
        self.who = ""
        self.accuracy: float | None = None  # of the newest candidate on the test set
        self.score: float | None = None  # of the same
        self.score_name = UNKNOWN.name
        self.started = time.monotonic()

    @property
    def share(self) -> float:
        """How much of the comparison is done; a run counts by its rounds."""
        return max(0.0, self.run - 1 + min(1.0, self.round / max(1, self.rounds))) / self.runs

    def now(self) -> str:
        """Say in one line what is going on."""
        if not self.run:
            return "checking every entry …"
        number = min(self.round + 1, self.rounds)
        return one_line(
            f"run {self.run}/{self.runs}  {self.who}  round {number}/{self.rounds}{self.figure()}"
        )

    def figure(self) -> str:
        """Say the newest test accuracy and score, if there are any."""
        accuracy = "" if self.accuracy is None else f"  test accuracy {self.accuracy:.3f}"
        return accuracy + ("" if self.score is None else f"  {self.score_name} {self.score:.3f}")

    def take(self, progress: Progress) -> str:
        """Take in one record; return the line that it is worth, or nothing."""
        handler = _HANDLERS.get(progress.what)
        return one_line(handler(self, progress)) if handler else ""


def _begins(watch: CompareWatch, progress: Progress) -> str:
    values = progress.values
    _turn_to(watch, values)
    watch.round, watch.rounds = _int(values, "done"), _int(values, "rounds")
    watch.accuracy, watch.score, watch.started = None, None, time.monotonic()
    watch.score_name = str(values.get("score_name", UNKNOWN.name))
    if values.get("has_ended"):
        return ""
    verb = f"goes on after round {watch.round}" if watch.round else "begins"
    return f"run {watch.run}/{watch.runs}  {watch.who}  {verb} ({values.get('run')})"


def _task_done(watch: CompareWatch, progress: Progress) -> str:
    accuracy, score = (progress.values.get(key) for key in ("test_accuracy", "test_f1"))
    if isinstance(accuracy, float):
        watch.accuracy = accuracy
    if isinstance(score, float):
        watch.score = score
    return ""


def _round_ended(watch: CompareWatch, progress: Progress) -> str:
    watch.round = progress.round
    outcome = str(progress.values.get("outcome"))
    return f"  round {progress.round}/{watch.rounds}  {outcome:<8}{watch.figure()}"


def _ended(watch: CompareWatch, progress: Progress) -> str:
    values, accuracy = progress.values, progress.values.get("accuracy")
    _turn_to(watch, values)
    watch.round = watch.rounds
    head = f"run {watch.run}/{watch.runs}  {watch.who}"
    if values.get("reason"):
        return f"{head}  failed: {values['reason']}"
    figure = f"test accuracy {accuracy:.3f}" if isinstance(accuracy, float) else "test accuracy not known"
    took = "was done" if values.get("has_ended") else seconds_text(time.monotonic() - watch.started)
    return f"{head}  completed: {figure}, {took}"


def _simulated(_watch: CompareWatch, progress: Progress) -> str:
    values = progress.values
    return f"simulated {values.get('name')} ({_int(values, 'done')} of {_int(values, 'of')})"


def _turn_to(watch: CompareWatch, values: Mapping[str, object]) -> None:
    watch.run, watch.runs = _int(values, "number"), max(1, _int(values, "of"))
    watch.who = f"{values.get('label')}, seed {values.get('seed')}"


def _int(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0


_HANDLERS: Final[dict[str, Callable[[CompareWatch, Progress], str]]] = {
    BEGINS: _begins,
    "task-done": _task_done,
    "round-ended": _round_ended,
    ENDED: _ended,
    SIMULATED: _simulated,
}


@contextmanager
def show_comparison(file: IO[str]) -> Iterator[Observer]:
    """Show a comparison on a stream: a bar if it is a terminal, lines if not. Yields the observer."""
    out, watch = console(file), CompareWatch()
    if out.is_terminal and not out.is_dumb_terminal:
        with _bar(out, watch) as observer:
            yield observer
        return

    def observe(progress: Progress) -> None:
        if line := watch.take(progress):
            out.print(line, markup=False, soft_wrap=True)
            out.file.flush()

    yield observe


@contextmanager
def _bar(out: "Console", watch: CompareWatch) -> Iterator[Observer]:
    """Show one bar over all runs; only how each run ended stays on the screen."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=out, refresh_per_second=_FRAMES_PER_S, transient=True) as bars:
        task = bars.add_task(watch.now(), total=1.0)

        def observe(progress: Progress) -> None:
            line = watch.take(progress)
            bars.update(task, completed=watch.share, description=watch.now())
            if line and progress.what in (ENDED, SIMULATED):
                bars.console.print(line, markup=False, soft_wrap=True)

        yield observe

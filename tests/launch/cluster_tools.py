"""A cluster on paper for the tests: its scheduler starts nothing, its clock stands still, tests act as nodes.

Nothing waits for time to pass: `Cluster.look` moves the clock and returns once the scheduler was asked and
its answer was heard.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from process_scheduler import ProcessScheduler

from foedus.core.canonical import Json
from foedus.core.errors import Interrupted
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch._attempts import attempt_name
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.cluster.journal import Journal

PROGRAM = Program("launch_entries:run", path=(str(Path(__file__).parent),))
TIMES = Times(poll_s=1.0, slow_poll_s=1.0, settle_s=10.0, lost_s=120.0, retries=2, continuations=3)
LIMIT_S = 30.0
_TRIES = 20  # an answer that was not heard yet, and a pause that is longer than a step of the clock


@dataclass
class Clock:
    """A monotonic clock that tests move. Below zero, so that a launcher's first look is a poll away."""

    now: float = -1e6

    def __call__(self) -> float:
        return self.now


@dataclass
class Cluster:
    """A launcher on a scheduler of paper. `root` holds the job folders, by name."""

    root: Path
    times: Times = TIMES
    scheduler: ProcessScheduler = field(default_factory=lambda: ProcessScheduler(is_holding=True))
    clock: Clock = field(default_factory=Clock)
    launcher: ClusterLauncher = field(init=False)

    def __post_init__(self) -> None:
        self.begin_process()

    def begin_process(self) -> None:
        """Go on with a new launcher, as after a kill: the one before is not closed."""
        self.launcher = ClusterLauncher(self.scheduler, PROGRAM, self.times, self.clock)

    def folder(self, name: str = "job") -> JobFolder:
        return JobFolder(self.root / name)

    def submit(self, name: str = "job", key: str = "", **resources: float) -> NativeId:
        folder = self.folder(name)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_spec({"do": "finish"})
        spec = JobSpec("TEST", str(folder.path), Resources(**{"walltime_s": 60.0, **resources}))  # type: ignore[arg-type]
        return self.launcher.submit(spec, key or name)

    def resubmit(self, name: str = "job") -> JobStatus:
        """Submit it by a new process, and say what that then thinks."""
        self.begin_process()
        return self.status(self.submit(name))

    def status(self, native_id: NativeId) -> JobStatus:
        return self.launcher.states([native_id])[native_id]

    def look(self, times: int = 1, seconds: float = 1.0) -> None:
        """Let that much time pass before each look, and hear what the scheduler says."""
        for _ in range(times):
            before = self.scheduler.looks
            for _ in range(_TRIES):
                if self.scheduler.looks > before:
                    break
                self.clock.now += seconds
                self.launcher.states([])
                join_looks()
            assert self.scheduler.looks == before + 1, "the launcher does not ask"
            self.launcher.states([])

    def look_if_asked(self) -> None:
        """Let a second pass, and hear what the scheduler says where the launcher asks it at all."""
        self.clock.now += 1.0
        self.launcher.states([])
        join_looks()
        self.launcher.states([])

    def after_look(self, native_id: NativeId, times: int = 1, seconds: float = 1.0) -> JobStatus:
        self.look(times, seconds)
        return self.status(native_id)

    def journal(self, name: str = "job") -> Journal:
        journal = Journal.read(self.folder(name))
        assert journal is not None
        return journal

    def name(self, name: str = "job") -> str:
        """The name that the scheduler knows the present submission by."""
        return self.journal(name).full_name

    # --- what nodes do ---

    def attempt(self, number: int = 0, restart: int = 0, name: str = "job") -> JobFolder:
        """Begin an attempt, as its supervisor does."""
        folder = JobFolder(self.folder(name).path, attempt_name(number, restart))
        folder.claim()
        return folder

    def say(self, state: JobState, name: str = "job", **words: str | bool) -> None:
        """Have the scheduler say this of the present submission."""
        self.scheduler.say(self.name(name), state, **words)


def ends(attempt: JobFolder, **report: Json) -> None:
    """Write `exit.json`, as the supervisor does."""
    plain: dict[str, Json] = {"code": 0, "signal": 0, "is_out_of_time": False, "peak_mb": 7}
    attempt.write_exit(plain | report)


def finishes(attempt: JobFolder, words: str = "done") -> None:
    """Leave all that a task can leave, each file telling whose it is."""
    (attempt.make_output() / "file").write_text(words)
    attempt.write_update([words.encode()])
    attempt.write_state([words.encode()])
    attempt.write_memory([words.encode()])
    attempt.finish({"words": words})
    ends(attempt)


def is_interrupted(attempt: JobFolder) -> None:
    """End as a task does that was warned: with a checkpoint."""
    attempt.write_checkpoint([b"so far"])
    attempt.fail(Interrupted())
    ends(attempt, code=75)


def node_fails(cluster: Cluster) -> None:
    """Have the present submission end by a failure of the cluster."""
    cluster.say(JobState.FAILED, cause="its node failed", is_passing=True)


def numbers(cluster: Cluster) -> list[int]:
    """Return the numbers of the submissions that the scheduler accepted."""
    return [int(name.rpartition("-")[2]) for name in cluster.scheduler.submissions]


def interrupted(cluster: Cluster, native_id: NativeId, number: int) -> JobStatus:
    """Have this submission end with a checkpoint."""
    cluster.look()
    is_interrupted(cluster.attempt(number))
    cluster.say(JobState.FAILED)
    return cluster.after_look(native_id)


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but those that tell of the times and the launcher itself."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("status.json", "batch.json", "job.json", "spec.json")
    }


def join_looks() -> None:
    """Wait for the questions to the scheduler that are under way."""
    for thread in threading.enumerate():
        if thread.name == "foedus-scheduler":
            thread.join(LIMIT_S)
            assert not thread.is_alive()


class Killed(BaseException):
    """The process is dead."""


@dataclass
class Mortal:
    """Runs something that dies right after a number of effects on files or on a scheduler."""

    patch: pytest.MonkeyPatch
    effects_left: int = 0
    is_elsewhere: bool = False

    def dies(self, effects: int, scheduler: ProcessScheduler | None, act: Callable[[], object]) -> bool:
        """Run it; tell whether it died. A dead process has no effect any more, whatever it catches."""
        self.effects_left = effects
        with self.patch.context() as patch:
            for name in ("rename", "unlink", "mkdir", "rmdir"):
                patch.setattr(os, name, self._deadly(getattr(os, name)))
            patch.setattr(os, "open", self._deadly(os.open, _makes_a_file))
            for name in ("submit", "cancel") if scheduler else ():
                patch.setattr(scheduler, name, self._deadly(getattr(scheduler, name)))
            try:
                act()
            except Killed:
                return True
        return False

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What is done meanwhile is done by another process."""
        self.is_elsewhere = True
        yield
        self.is_elsewhere = False

    def _deadly(
        self, real: Callable[..., object], is_effect: Callable[..., bool] = lambda *_, **__: True
    ) -> Callable[..., object]:
        def effect(*arguments: object, **options: object) -> object:
            if self.is_elsewhere or not is_effect(*arguments, **options):
                return real(*arguments, **options)
            if self.effects_left == 0:
                raise Killed
            result = real(*arguments, **options)
            self.effects_left -= 1
            if self.effects_left == 0:
                raise Killed
            return result

        return effect


def _makes_a_file(path: str, flags: int, mode: int = 0, dir_fd: int | None = None) -> bool:
    return bool(flags & os.O_CREAT)

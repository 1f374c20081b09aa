"""What a cluster's scheduler must offer. All that is hard about batch jobs is in `ClusterLauncher`, once."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from foedus.core.errors import FoedusError
from foedus.core.records import JobState, Resources


class Refused(FoedusError):
    """The scheduler will not take this batch job, now or later. Permanent: change what it asks for."""


class Unreachable(FoedusError):
    """The scheduler did not answer in time, or not sensibly. What it was told may have been done or not."""

    http_status = 503


@dataclass(frozen=True, slots=True)
class Program:
    """The program that batch jobs run: the supervisor `foedus.launch.inside` with an entry point.

    `entry` and `setup` are "package.module:function". `python` is the interpreter as compute nodes see it.
    """

    entry: str
    setup: str = ""
    threads: int = 1
    python: str = ""  # empty: the one we run in
    scratch: str = ""  # folder on a disk of the node itself; each attempt gets its TMPDIR below it
    warning_s: float = 60.0  # so long before its time limit a task is told to write a checkpoint
    path: tuple[str, ...] = ()  # folders to import from, before the interpreter's own

    def argv(self, folder: str, number: int, walltime_s: float) -> tuple[str, ...]:
        """Return the command for the job folder's attempts of this number."""
        options = [f"--threads={self.threads}", f"--walltime-s={walltime_s:g}"]
        options.append(f"--warning-s={self.warning_s:g}")
        options += [f"--setup={self.setup}"] if self.setup else []
        options += [f"--scratch={self.scratch}"] if self.scratch else []
        options += [f"--path={entry}" for entry in self.path]
        module = ("-P", "-m", "foedus.launch.inside")
        return (self.python or sys.executable, *module, self.entry, folder, str(number), *options)


@dataclass(frozen=True, slots=True)
class Order:
    """One batch job as a scheduler gets it.

    `name` is unique for ever and matches `[a-z0-9][a-z0-9-]{0,62}`: it is what a scheduler is asked for again
    after a crash. `argv` is an argument list, never to be read by a shell. `folder` is the job folder's
    absolute path. `affinity` names whose work it is.
    """

    name: str
    argv: tuple[str, ...]
    folder: str
    resources: Resources
    application: str = ""
    affinity: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a scheduler says of one batch job.

    `native` is its own word for the state, `cause` ours. `is_passing`: what ended the job was the cluster's
    doing (a node failed, the job was pre-empted), so it may be run again. `out_of_time`: its time limit ended
    it. `ended` tells exit code or signal, for want of better words.
    """

    scheduler_id: str
    state: JobState
    native: str
    cause: str = ""
    ended: str = ""
    is_passing: bool = False
    out_of_time: bool = False


class Scheduler(Protocol):
    """A cluster's scheduler. Every call returns or raises within 30 s; `look` runs in a thread of its own."""

    def check(self, order: Order) -> None:
        """Raise `InvalidSpec` when the order asks for what can never be had, or holds unfit text."""

    def submit(self, order: Order) -> str:
        """Have the job queued and return the scheduler's id. Raises `Refused` or `Unreachable`.

        Where names are unique (Kubernetes) submitting again is harmless.
        """

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Return what is known of the named jobs, by one question for all of them.

        A name that is missing from the answer is not known to the scheduler (any more). Raises `Unreachable`.
        """

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Stop the job; harmless when it has ended. `scheduler_id` may be empty. Raises `Unreachable`."""

    def log(self, name: str, scheduler_id: str) -> str:
        """Return what the scheduler has of the job's output; empty when that is all in the job folder."""

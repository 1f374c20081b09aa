"""The launcher that gives tasks to warm workers in batch jobs, which it holds over many rounds."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobStatus
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.held.post import HeldTimes
from foedus.launch.held.scheduler import HeldScheduler

PATIENCE = Times(poll_s=0.25, slow_poll_s=2.0)
"""How often mailboxes are looked at for states; results are seen sooner, in job folders."""


class HeldLauncher:
    """Runs tasks in held allocations; implements `core.protocols.Launcher`.

    For each `JobSpec.affinity`, and resources, one batch job of `inner` keeps a worker warm in which
    `program.entry` runs one task after the other. `inner` must outlive this launcher and run
    `holding_program(program)`; it should not submit a batch job again by itself (`Times(retries=0)`), for a
    worker that finds its allocation served before ends at once. `folder` must be seen by all nodes, under the
    same path. `preload` names modules to import before the first task.

    Tasks have attempts, states, causes, retries and checkpoints as on any cluster, see `ClusterLauncher`:
    when an allocation dies, a new one is queued and the task under way is done again there, by its next
    attempt. Before an allocation's time is over its successor is queued. The allocations of a process that
    was killed stay, and the next one with the same folder takes them up; `close` gives them back.

    Use it from one thread. It uses `inner` from a thread of its own: leave that one alone meanwhile.
    """

    def __init__(
        self,
        inner: Launcher,
        program: Program,
        folder: Path,
        preload: tuple[str, ...] = (),
        held: HeldTimes | None = None,
        times: Times = PATIENCE,
    ) -> None:
        self._scheduler = HeldScheduler(inner, program, folder, preload, held)
        self._launcher = ClusterLauncher(self._scheduler, program, times)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        """Give the task to its client's worker, or take up the one that has this key and folder.

        Raises `InvalidSpec` when the folder is not usable, holds no `spec.json`, or asks for what cannot be
        had.
        """
        return self._launcher.submit(spec, key)

    def find(self, key: str) -> NativeId | None:
        """Return the id of the task with this key, if this launcher was given it."""
        return self._launcher.find(key)

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        """Return the states, as `ClusterLauncher.states` does."""
        return self._launcher.states(ids, wait_s)

    def cancel(self, native_id: NativeId) -> None:
        """Have the worker stop the task; its allocation goes on."""
        self._launcher.cancel(native_id)

    def logs(self, native_id: NativeId) -> str:
        """Return the last 64 KiB of the task's output; empty for an unknown one."""
        return self._launcher.logs(native_id)

    def close(self) -> None:
        """Give the allocations back, within seconds. Tasks under way are warned; the next process goes on."""
        self._launcher.close()
        self._scheduler.close()

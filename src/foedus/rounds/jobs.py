"""The tasks of one run as batch jobs: where their folders lie, what goes in, what came out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from foedus.core.canonical import to_ppb
from foedus.core.errors import FoedusError, StorageFull
from foedus.core.ids import Cid, ClientId, NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobState, JobStatus, Resources, TaskKind
from foedus.launch import Failure, JobFolder
from foedus.rounds.documents import Document, MergeResult, TrainResult
from foedus.rounds.machine import Merged, TaskFact, Trained

ResourcesOf: TypeAlias = Callable[[str], Resources]
"""What the batch jobs of an application ask for, by its name (`FL_TRAIN` …)."""


class TaskBook:
    """The batch jobs of the step that is under way, for the clients of this process.

    A finished job is known by its folder, so a new process finds the work of an earlier one; a folder
    without a result is work that was lost, and the job starts afresh under the same key.
    """

    def __init__(self, folder: Path, launcher: Launcher, resources: ResourcesOf) -> None:
        self._folder = folder
        self._launcher = launcher
        self._resources = resources
        self._prefix = ""
        self._running: dict[str, NativeId] = {}
        self._facts: dict[tuple[ClientId, TaskKind], TaskFact] = {}
        self._results: dict[tuple[ClientId, TaskKind], Document] = {}
        self._offsets: dict[tuple[ClientId, TaskKind], int] = {}
        self._changed: dict[tuple[ClientId, TaskKind], TaskFact] = {}

    def enter(self, number: int, step: int) -> bool:
        """Turn to a round and step: forget the tasks of the last one, stop those that still run.

        Tells whether that was a change.
        """
        prefix = f"r{number:05d}.{step}"
        if prefix == self._prefix:
            return False
        for native_id in self._running.values():
            self._launcher.cancel(native_id)
        self._prefix = prefix
        for table in (self._running, self._facts, self._results, self._offsets, self._changed):
            table.clear()
        return True

    @property
    def root(self) -> Path:
        """The folder below which all job folders of the run lie."""
        return self._folder

    def folder(self, client: ClientId, kind: TaskKind) -> JobFolder:
        """Return the job folder of a task of this step."""
        return JobFolder(self._folder / self._prefix / f"{client}.{kind}")

    def key(self, client: ClientId, kind: TaskKind) -> str:
        """Return the unique key of a task of this step."""
        return f"{self._folder.parent.name}/{self._prefix}/{client}/{kind}"

    def launch(self, client: ClientId, kind: TaskKind, order: Document) -> None:
        """Start the task; where an earlier process finished or started it, take that one."""
        folder, key = self.folder(client, kind), self.key(client, kind)
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.write_spec(order.to_json())
        application = f"FL_{kind.upper()}"
        spec = JobSpec(application, str(folder.path), self._resources(application), affinity=client)
        self._running[key] = self._launcher.submit(spec, key)
        self._facts[client, kind] = TaskFact(JobState.QUEUED)

    def cancel(self, client: ClientId, kind: TaskKind) -> None:
        """Stop a task of this step."""
        native_id = self._running.pop(self.key(client, kind), None)
        if native_id is not None:
            self._launcher.cancel(native_id)
        self._facts[client, kind] = TaskFact(JobState.CANCELLED, cause="too late for the round")

    def fail(self, client: ClientId, kind: TaskKind, cause: str, is_own: bool = True) -> None:
        """Record that a task's result cannot be used after all; unless `is_own`, not for what it did."""
        self._results.pop((client, kind), None)
        self._facts[client, kind] = TaskFact(JobState.FAILED, cause=cause, is_own_failure=is_own)

    def facts(self, client: ClientId) -> Mapping[TaskKind, TaskFact]:
        """Return what is known of a client's tasks in this step."""
        return {kind: fact for (who, kind), fact in self._facts.items() if who == client}

    def result(self, client: ClientId, kind: TaskKind) -> Document | None:
        """Return the checked result of a finished task."""
        return self._results.get((client, kind))

    def running(self) -> list[tuple[ClientId, TaskKind]]:
        """Return the tasks that are queued or running."""
        return [task for task, fact in self._facts.items() if not fact.state.is_final]

    def poll(self, wait_s: float) -> list[tuple[ClientId, TaskKind]]:
        """Wait up to `wait_s` for a task to end; return those that did."""
        if not self._running:
            return []
        states = self._launcher.states(list(self._running.values()), wait_s)
        ended = []
        for client, kind in self.running():
            status = states.get(self._running[self.key(client, kind)])
            if status is not None and status.state.is_final:
                del self._running[self.key(client, kind)]
                self._settle(client, kind, status)
                ended.append((client, kind))
            elif status is not None:
                fact = TaskFact(status.state, cause=status.cause)
                if fact != self._facts[client, kind]:
                    self._facts[client, kind] = self._changed[client, kind] = fact
        return ended

    def changes(self) -> list[tuple[tuple[ClientId, TaskKind], TaskFact]]:
        """Return the tasks whose batch jobs have changed since the last call, but have not ended."""
        changed, self._changed = self._changed, {}
        return [(task, fact) for task, fact in changed.items() if self._facts.get(task) == fact]

    def new_events(self, client: ClientId, kind: TaskKind) -> list[Mapping[str, object]]:
        """Return what a task has reported since the last call."""
        offset = self._offsets.get((client, kind), 0)
        events, self._offsets[client, kind] = self.folder(client, kind).read_events(offset)
        return list(events)

    def _settle(self, client: ClientId, kind: TaskKind, status: JobStatus) -> None:
        folder = self.folder(client, kind)
        try:
            values = folder.read_result() if status.state is JobState.COMPLETED else None
            if values is None:
                failure = folder.read_failure()
                _raise_when_full(failure)
                cause = status.cause or f"the batch job is {status.state}"
                self.fail(client, kind, cause, is_own=failure is not None)
            else:
                self._facts[client, kind] = self._read(client, kind, values)
        except StorageFull:
            raise
        except (FoedusError, ValueError) as error:
            self.fail(client, kind, str(error))

    def _read(self, client: ClientId, kind: TaskKind, values: object) -> TaskFact:
        where = f"the result of {client}'s {kind} task"
        if kind is TaskKind.TRAIN:
            trained = TrainResult.from_json(values, where)
            self._results[client, kind] = trained
            return TaskFact(JobState.COMPLETED, trained=_trained(trained))
        merged = MergeResult.from_json(values, where)
        self._results[client, kind] = merged
        return TaskFact(JobState.COMPLETED, merged=_merged(merged))


def _trained(result: TrainResult) -> Trained:
    return Trained(
        num_examples=result.num_examples,
        score_ppb=to_ppb(result.local.f1),
        base_score_ppb=to_ppb(result.base.f1),
        has_moved=result.update_norm > 0,
        is_above_floor=result.is_above_floor,
    )


def _merged(result: MergeResult) -> Merged:
    return Merged(
        candidate=Cid(result.candidate),
        is_empty=result.is_empty,
        is_scored=result.is_scored,
        score_ppb=to_ppb(result.local.f1),
        base_score_ppb=to_ppb(result.base.f1),
    )


def _raise_when_full(failure: Failure | None) -> None:
    """A full disk is nobody's failure: the run stops, to be resumed, instead of going on without a client."""
    if failure is not None and failure.kind == StorageFull.__name__:
        raise StorageFull(failure.message, failure.hint)

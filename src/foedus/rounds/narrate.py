"""Tells in `Progress` records what the chain and the tasks report."""

from collections.abc import Iterator

from foedus.core.ids import ClientId
from foedus.core.records import Event, JobState, Phase, TaskKind
from foedus.rounds.documents import Document, MergeResult, TrainResult
from foedus.rounds.machine import TaskFact
from foedus.rounds.progress import Progress
from foedus.rounds.view import RunView

_WHO = {
    "Registered": ("registered", "client"),
    "Declined": ("declined", "client"),
    "Proposed": ("proposed", "proposer"),
    "Voted": ("voted", "voter"),
}


def chain_progress(event: Event, run: RunView) -> Iterator[Progress]:
    """Tell what one event means for a run; nothing for events of other runs."""
    if event.args.get("run") != run.run:
        return
    number = int(event.args.get("round", run.round.number if run.round else 0))
    if event.name in _WHO:
        what, role = _WHO[event.name]
        yield Progress(what, number, run.names[str(event.args[role])], {**event.args, "tx": event.tx})
    elif event.name == "RoundOpened":
        yield Progress("round", number, None, {"step": event.args["step"], "version": run.version})
    elif event.name == "Finalized":
        values = {"outcome": Phase(int(event.args["outcome"])).name.lower(), "version": run.version}
        yield Progress("round-ended", number, None, values)
    elif event.name == "Alarm":
        yield Progress("alarm", number, None, {"rejections": event.args["rejections"]})
    elif event.name == "RunEnded":
        yield Progress("run-ended", number, None, {"reason": run.reason or run.ended, "current": run.current})


def state_progress(number: int, client: ClientId | None, kind: str, state: JobState, cause: str) -> Progress:
    """Tell how a batch job stands that has not ended: queued, running, unknown, and why."""
    return Progress("task-state", number, client, {"kind": kind, "state": state, "cause": cause})


def task_progress(
    number: int, client: ClientId, kind: TaskKind, fact: TaskFact, result: Document | None
) -> Progress:
    """Tell how a task ended, with the figures people want to see at once."""
    values: dict[str, object] = {"kind": kind}
    if fact.trained is None and fact.merged is None:
        return Progress("task-failed", number, client, {**values, "cause": fact.cause})
    return Progress("task-done", number, client, values | figures_of(result))


def figures_of(result: Document | None) -> dict[str, object]:
    """Return the figures of a task's result that people want to see at once."""
    if isinstance(result, TrainResult):
        return {
            "loss": result.train_loss[-1] if result.train_loss else None,
            "f1": result.local.f1,
            "accuracy": result.local.accuracy,
            "seconds": result.seconds,
        }
    if isinstance(result, MergeResult) and result.test is not None:
        return {"test_accuracy": result.test.accuracy, "test_f1": result.test.f1}
    return {}

"""When a process gives a run up for now: all clients are here, and what keeps one of them keeps them all."""

from collections.abc import Collection

from foedus.core.errors import TaskFailed
from foedus.core.ids import ClientId
from foedus.core.records import JobState, Phase, RoundView, TaskKind
from foedus.rounds.jobs import TaskBook
from foedus.rounds.machine import TaskFact


def stop_if_nobody_can_go_on(
    view: RoundView, drawn: Collection[ClientId], tasks: TaskBook, members: Collection[ClientId]
) -> None:
    """Raise `TaskFailed` where the clients of this process, being all there are, would fail alike.

    `drawn` are those that train in this round. Members elsewhere may do better: then the run goes on.
    """
    if view.electorate - set(members):
        return
    if view.phase is Phase.OPEN and set(drawn) == view.electorate:  # else others could be called up
        _require_training(view, tasks)
    elif view.phase is Phase.AGGREGATING:
        _require_merge(view, tasks)


def _require_training(view: RoundView, tasks: TaskBook) -> None:
    """Do not use up round after round on a cluster where no batch job can run."""
    if view.registrations or view.declined:
        return
    facts = [tasks.facts(client).get(TaskKind.TRAIN) for client in sorted(view.electorate)]
    failed = [fact for fact in facts if fact and fact.state is JobState.FAILED and not fact.is_own_failure]
    if failed and len(failed) == len(facts):
        raise _given_up(
            f"no client could train in round {view.number}", failed[0], "the round is trained again"
        )


def _require_merge(view: RoundView, tasks: TaskBook) -> None:
    """Do not wait hours for the turns of clients that fail alike."""
    facts = [tasks.facts(client).get(TaskKind.AGGREGATE) for client in view.turn_order]
    failed = next((f for f in facts if f is not None and f.state.is_final and f.merged is None), None)
    if failed is not None:
        what = f"the updates of round {view.number} cannot be merged"
        raise _given_up(what, failed, "the task is then done again")


def _given_up(what: str, fact: TaskFact, again: str) -> TaskFailed:
    hint = f"Nothing is lost: mend the cause and resume the run; {again}."
    return TaskFailed(f"{what}: {fact.cause}", hint)

"""Drive the runs of a comparison one after the other; what an earlier process finished is not done again."""

from collections.abc import Collection
from typing import Final

from foedus.client.compare.plan import Plan
from foedus.client.drive import drive, drive_new
from foedus.client.status import RunStatus, run_status
from foedus.core.errors import (
    ChainDamaged,
    FoedusError,
    HomeInUse,
    InvalidData,
    InvalidSpec,
    KeyUnusable,
    StorageFull,
    UnsupportedModel,
)
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer, Progress
from foedus.site.specs import rehearse

BEGINS: Final = "compare-begins"
ENDED: Final = "compare-ended"
"""`Progress.what` of the records before and after those of a run."""

_NOBODYS_FAULT: Final = (ChainDamaged, HomeInUse, KeyUnusable, StorageFull)  # would meet every run


def check_inputs(plan: Plan, only: Collection[str] = ()) -> None:
    """Try every entry that has no run yet as far as can be told without training.

    That is algorithm, model, data and partition. With `only`, the entries with these labels. Raises
    `InvalidSpec`, `InvalidData` or `UnsupportedModel` naming the entry, as its run would in hours.
    """
    new = [run for run, name in zip(plan.spec.runs, plan.names, strict=True) if name is None]
    for run in {run.label: run for run in reversed(new) if not only or run.label in only}.values():
        try:
            rehearse(run.spec, plan.home)
        except (InvalidData, InvalidSpec, UnsupportedModel) as error:
            raise type(error)(f"{run.label!r}: {error.message}", error.hint) from error


def run_all(plan: Plan, observer: Observer, only: Collection[str] = ()) -> dict[int, str]:
    """Drive all runs, or those with labels in `only`, to their end; return by number why some could not be.

    One run's failure does not stop the others. Raises `HomeInUse`, `StorageFull` and whatever else would stop
    all of them; interrupt it as you like.
    """
    faults: dict[int, str] = {}
    chosen = [index for index, run in enumerate(plan.spec.runs) if not only or run.label in only]
    for number, index in enumerate(chosen, 1):
        planned = plan.spec.runs[index]
        about = {"number": number, "of": len(chosen), "label": planned.label, "seed": planned.seed}
        try:
            name = plan.run_name(index)
            status = run_status(plan.home, name)
            about |= {"run": name, "rounds": status.rounds, "has_ended": status.has_ended}
            about |= {"score_name": status.score_name}
            observer(Progress(BEGINS, values={**about, "done": len(status.history)}))
            status = _driven(plan.home, status, observer)
            about |= {"reason": failure_of(status), "accuracy": status.accuracy}
        except _NOBODYS_FAULT:
            raise
        except FoedusError as error:
            faults[index] = error.message
            about |= {"reason": error.message}
        observer(Progress(ENDED, values=about))
    return faults


def failure_of(status: RunStatus) -> str:
    """Say why a run counts as failed; nothing when it does not."""
    if status.state != "completed":
        return f"the run is {status.in_words}"
    if status.version:
        return ""
    return "no round was accepted" + _last_cause(status)


def _last_cause(status: RunStatus) -> str:
    """Say what stopped the last round: the ballot, or those who would have had updates to merge."""
    if not status.history:
        return ""
    last = status.history[-1]
    if last.outcome == "rejected":
        votes = last.votes
        counts = f"{votes['yes']} yes, {votes['no']} no, {votes['abstain']} abstained"
        return f"; the ballot of round {last.round} rejected the model: {counts}"
    reasons = list(last.declined.values())
    if reasons:
        return f"; round {last.round} was {last.outcome}, the last to decline said: {reasons[-1]}"
    return f"; round {last.round} was {last.outcome}"


def _driven(home: Home, status: RunStatus, observer: Observer) -> RunStatus:
    if status.has_ended:
        return status
    (drive_new if status.state == "new" else drive)(home, status.name, observer)
    return run_status(home, status.name)

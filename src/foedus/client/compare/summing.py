"""From single runs to entries: means and deviations over the seeds. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from foedus.client.compare.records import Curve, EntryResult, RoundResult, RunResult, Stat, stat

Pick: TypeAlias = Callable[[RoundResult], float | None]


def entry_result(label: str, runs: Sequence[RunResult], target: float | None) -> EntryResult:
    """Sum up the runs of one entry. Only completed runs count; the others are listed as what they are."""
    done = [run for run in runs if run.state == "completed"]
    outcomes = Counter(one.outcome for run in done for one in run.rounds)
    best = _best(_curve(label, done, lambda one: one.accuracy))
    reached = [] if target is None else [_round_reaching(run, target) for run in done]
    return EntryResult(
        label=label,
        completed=len(done),
        planned=len(runs),
        accuracy=_final(done, lambda one: one.accuracy),
        f1=_final(done, lambda one: one.f1),
        loss=_final(done, lambda one: one.loss),
        best_round=best[0] if best else None,
        best_accuracy=best[1] if best else None,
        to_target=stat([float(number) for number in reached if number is not None]),
        accepted=outcomes["accepted"],
        rejected=outcomes["rejected"],
        empty=outcomes["empty"],
        bytes_per_turn=_bytes_per_turn(done),
        seconds=stat([float(run.seconds) for run in done]),
        training_seconds=stat([sum(one.training_seconds for one in run.rounds) for run in done]),
    )


def curves_of(runs: Mapping[str, Sequence[RunResult]], pick: Pick) -> tuple[Curve, ...]:
    """Return a curve per entry, over its completed runs."""
    return tuple(
        _curve(label, [run for run in found if run.state == "completed"], pick)
        for label, found in runs.items()
    )


def _curve(label: str, runs: Sequence[RunResult], pick: Pick) -> Curve:
    """Mean and deviation where every run has a value: a mean over fewer seeds would jump where one joins."""
    length = max((len(run.rounds) for run in runs), default=0)
    stats: list[Stat | None] = []
    for index in range(length):
        values = [pick(run.rounds[index]) if index < len(run.rounds) else None for run in runs]
        known = [value for value in values if value is not None]
        stats.append(stat(known) if len(known) == len(runs) else None)
    return Curve(
        label,
        tuple(one.mean if one else None for one in stats),
        tuple(one.std if one else None for one in stats),
    )


def _best(curve: Curve) -> tuple[int, float] | None:
    points = [(number, value) for number, value in enumerate(curve.mean, start=1) if value is not None]
    return max(points, key=lambda point: (point[1], -point[0]), default=None)


def _final(runs: Sequence[RunResult], pick: Pick) -> Stat | None:
    values = [pick(run.last) if run.last else None for run in runs]
    return stat([value for value in values if value is not None])


def _round_reaching(run: RunResult, target: float) -> int | None:
    return next((one.round for one in run.rounds if (one.accuracy or 0.0) >= target), None)


def _bytes_per_turn(runs: Sequence[RunResult]) -> float | None:
    sizes = [one.bytes_sent for run in runs for one in run.rounds]
    turns = sum(run.turns for run in runs)
    known = [size for size in sizes if size is not None]
    return sum(known) / turns if turns and len(known) == len(sizes) else None

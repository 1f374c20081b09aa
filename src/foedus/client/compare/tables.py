"""A comparison as CSV: every round in long form, and one line per entry."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from foedus.client.compare.records import Comparison, EntryResult, Stat

_ROUNDS: Final = (
    "label", "seed", "run", "round", "accuracy", "score", "loss", "seconds", "training_seconds", "bytes_sent",
    "outcome",
)  # fmt: skip
_SUMMARY: Final = (
    "label", "runs_completed", "runs_planned", "accuracy_mean", "accuracy_std", "score", "score_mean",
    "score_std", "loss_mean", "loss_std", "best_round", "best_accuracy_mean", "runs_reaching_target",
    "rounds_to_target_mean", "rounds_to_target_std", "rounds_accepted", "rounds_rejected", "rounds_empty",
    "bytes_per_client_and_round", "seconds_mean", "seconds_std", "training_seconds_mean",
    "training_seconds_std",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def rounds_csv(comparison: Comparison) -> str:
    """Return one line per run and round. Figures are those of the global model in force after the round."""
    return csv_text(
        _ROUNDS,
        (
            (
                run.label,
                run.seed,
                run.run,
                one.round,
                one.accuracy,
                one.f1,
                one.loss,
                one.seconds,
                round(one.training_seconds, 3),
                one.bytes_sent,
                one.outcome,
            )
            for run in comparison.runs
            for one in run.rounds
        ),
    )


def summary_csv(comparison: Comparison) -> str:
    """Return one line per entry; empty where there is no value, as for the deviation of a single seed."""
    return csv_text(_SUMMARY, (_entry(entry, comparison.words.name) for entry in comparison.entries))


def _entry(entry: EntryResult, score: str) -> Sequence[object]:
    return (
        entry.label,
        entry.completed,
        entry.planned,
        *_pair(entry.accuracy),
        score,
        *_pair(entry.f1),
        *_pair(entry.loss),
        entry.best_round,
        entry.best_accuracy,
        entry.to_target.count if entry.to_target else None,
        *_pair(entry.to_target),
        entry.accepted,
        entry.rejected,
        entry.empty,
        entry.bytes_per_turn,
        *_pair(entry.seconds),
        *_pair(entry.training_seconds),
    )


def _pair(found: Stat | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.std)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV in which no spreadsheet finds a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return out.getvalue()


def _harmless(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(_FORMULA) else value

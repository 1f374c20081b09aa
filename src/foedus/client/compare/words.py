"""Figures of a comparison as tables show them, the same in terminal and page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from foedus.client.compare.records import Comparison, EntryResult, Stat
from foedus.client.output import seconds_text, size_text

NOTHING: Final = "–"
BEST: Final = "*"
OUTCOMES: Final = "acc/rej/empty"
"""Title of the first column about what an entry cost; those before it are about its figures."""
COUNTED: Final = (
    "Sent, per client and round: every registered update as it lies in the store, and, for each member, the"
    " weights of every model that was proposed (where the algorithm has a state, also the state's document"
    " and those of its parts that differ from the base's), divided by members and rounds. Transactions are"
    " not counted."
)
DEVIATION: Final = (
    "± is the sample standard deviation over the seeds (n − 1), – where there is one seed; acc/rej/empty are"
    " rounds accepted, rejected and empty, of all completed runs together."
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of the table, and whether no entry has a better one."""

    text: str
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the final table."""

    title: str
    show: Callable[[EntryResult], str]
    rank: Callable[[EntryResult], float | None] = lambda entry: None  # the lowest is the best


def table(comparison: Comparison) -> tuple[list[str], list[list[Cell]]]:
    """Return titles and rows of the final table, one row per entry in the order of the spec."""
    columns = [(column.title, _cells(column, comparison.entries)) for column in _columns(comparison)]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return [title for title, _ in columns], rows


def _cells(column: Column, entries: Sequence[EntryResult]) -> list[Cell]:
    """Mark the best, and what looks the same; nobody where nobody is better than another."""
    texts, ranks = [column.show(entry) for entry in entries], [column.rank(entry) for entry in entries]
    known = [rank for rank in ranks if rank is not None]
    best = {text for text, rank in zip(texts, ranks, strict=True) if known and rank == min(known)}
    return [Cell(text, text in best and len({*texts}) > 1) for text in texts]


def _columns(comparison: Comparison) -> list[Column]:
    columns = [
        Column("entry", lambda entry: entry.label),
        Column("runs", lambda entry: f"{entry.completed}/{entry.planned}"),
        Column(
            "accuracy", lambda entry: plus_minus(entry.accuracy), lambda entry: _lowest(entry.accuracy, -1)
        ),
        Column(
            comparison.words.name, lambda entry: plus_minus(entry.f1), lambda entry: _lowest(entry.f1, -1)
        ),
        Column("loss", lambda entry: plus_minus(entry.loss), lambda entry: _lowest(entry.loss, 1)),
        Column("best round", _best_round),
    ]
    if comparison.target is not None:
        title = f"rounds to {comparison.target:g}"
        columns.append(Column(title, _to_target, lambda entry: _lowest(entry.to_target, 1)))
    return [
        *columns,
        Column(OUTCOMES, lambda entry: f"{entry.accepted}/{entry.rejected}/{entry.empty}"),
        Column("sent", lambda entry: size(entry.bytes_per_turn), lambda entry: entry.bytes_per_turn),
        Column("time", lambda entry: _seconds(entry.seconds), lambda entry: _lowest(entry.seconds, 1)),
        Column("training", lambda entry: _seconds(entry.training_seconds)),
    ]


def plus_minus(found: Stat | None, digits: int = 4) -> str:
    """Show mean ± deviation."""
    if found is None:
        return NOTHING
    deviation = NOTHING if found.std is None else f"{found.std:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {deviation}"


def size(size_bytes: float | None) -> str:
    """Show a size."""
    return NOTHING if size_bytes is None else size_text(round(size_bytes))


def _seconds(found: Stat | None) -> str:
    """Show a duration; the chain's clock counts whole seconds."""
    if found is None:
        return NOTHING
    return "< 1 s" if found.mean < 1 else seconds_text(found.mean)


def _lowest(found: Stat | None, sign: int) -> float | None:
    return None if found is None else sign * found.mean


def _best_round(entry: EntryResult) -> str:
    if entry.best_round is None or entry.best_accuracy is None:
        return NOTHING
    return f"{entry.best_round} ({entry.best_accuracy:.4f})"


def _to_target(entry: EntryResult) -> str:
    found = entry.to_target
    if found is None:
        return "not reached" if entry.completed else NOTHING
    missing = "" if found.count == entry.completed else f" ({found.count} of {entry.completed})"
    return plus_minus(found, digits=1) + missing

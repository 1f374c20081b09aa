"""What the driver of a run tells whoever watches: one small record per happening."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from foedus.core.ids import ClientId


@dataclass(frozen=True, slots=True)
class Progress:
    """One happening of a run.

    `what` is one of: `setup`, `round` (a step opened), `task` (started), `task-state` (its batch job: `state`
    and `cause` in `values`), `step` (inside a task; `done` and `total` in `values`), `task-done`,
    `task-failed`, `registered`, `declined`, `proposed`, `voted`, `refused`, `round-ended`, `alarm`,
    `run-ended`.
    """

    what: str
    round: int = 0
    client: ClientId | None = None
    values: Mapping[str, object] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Watch nothing."""

"""What a held allocation is for: the `spec.json` of its batch job."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import TypeVar, get_type_hints

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch._code import WorkerCode
from foedus.launch.cluster.scheduler import Program

SERVE = "foedus.launch.held.worker:serve"
APPLICATION = "FL_HOLD"

_BEATS = 3  # so many signs of life may fail to come before the other side is given up

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class HeldTimes:
    """How long allocations are held, and how patient both sides are. All in seconds, above 0.

    Neither side may be given up while it only rests between two signs of life: `idle_s` and `silent_s` are at
    least three times `beat_s`.
    """

    walltime_s: float = 14_400.0  # time limit of an allocation
    queue_ahead_s: float = 600.0  # so long before its end a successor is queued; at most half of it
    idle_s: float = 600.0  # a worker that saw no sign of its owner for so long gives the nodes back
    silent_s: float = 180.0  # a worker that gave no sign for so long is taken for dead
    grace_s: float = 10.0  # so long workers may take to leave before their batch jobs are cancelled
    beat_s: float = 15.0  # between two signs of life, on both sides
    poll_s: float = 0.05  # between two looks for orders in the first minute after a task
    idle_poll_s: float = 0.2  # later
    task_poll_s: float = 0.5  # while a task runs: then only its cancellation could come

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidSpec(f"{name} of held allocations must be above 0 s, got {value}")
        for name in ("idle_s", "silent_s"):
            value, least_s = getattr(self, name), _BEATS * self.beat_s
            if value < least_s:
                raise InvalidSpec(
                    f"{name} of held allocations must be at least {_BEATS} times beat_s, got {value:g} s "
                    f"with {self.beat_s:g} s",
                    f"Raise {name} to {least_s:g} s, or lower beat_s.",
                )


@dataclass(frozen=True, slots=True)
class Post:
    """Whose tasks an allocation serves, on which resources, with which code.

    `warning_s` is what the worker has from the warning to the end of its time.
    """

    affinity: str
    resources: Resources
    code: WorkerCode
    warning_s: float
    times: HeldTimes = field(default_factory=HeldTimes)

    def to_json(self) -> Mapping[str, Json]:
        """Return plain JSON values."""
        values: dict[str, Json] = asdict(self)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> "Post":
        """Return the post that `spec.json` describes. Raises `InvalidSpec`."""
        return _made(cls, values)


def holding_program(program: Program) -> Program:
    """Return the program of the allocations' batch jobs, for this one of tasks."""
    return replace(program, entry=SERVE, setup="")


def _made(kind: type[Made], values: Json) -> Made:
    """Return a dataclass of these values; each must be there and of its type."""
    hints = get_type_hints(kind)
    if not isinstance(values, Mapping) or set(values) != set(hints):
        raise InvalidSpec(f"this is no {kind.__name__} of a held allocation")
    return kind(**{name: _value(hint, values[name], name) for name, hint in hints.items()})


def _value(hint: object, value: Json, name: str) -> object:
    if is_dataclass(hint) and isinstance(hint, type):
        return _made(hint, value)
    if hint is float and type(value) in (int, float):
        with suppress(OverflowError):
            return float(value)  # type: ignore[arg-type]  # just checked
    if hint == tuple[str, ...] and isinstance(value, list) and all(type(each) is str for each in value):
        return tuple(value)
    if type(value) is hint or (hint == int | None and type(value) in (int, type(None))):
        return value
    raise InvalidSpec(f"{name} of a held allocation is {str(value)[:60]!r}")

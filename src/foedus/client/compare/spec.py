"""The spec of a comparison: a run spec as common base, seeds, and what each entry changes in the base."""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.learn.arguments import hint_for
from foedus.rounds.spec import RunSpec, parse_spec, read_toml
from foedus.site.settings import Settings
from foedus.site.specs import for_this_machine

SECTIONS: Final = tuple(
    name for name, field in RunSpec.model_fields.items() if isinstance(field.default, BaseModel)
)
_HINT: Final = "See docs/how-to/compare-algorithms.md; the other keys are those of a run spec."
_ARGUMENTS: Final = ("args", "params")  # belong to the `name` or `kind` beside them
_LONGEST_LABEL: Final = 48

Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a comparison: an entry with one of the seeds."""

    label: str
    seed: int
    spec: RunSpec


@dataclass(frozen=True, slots=True)
class CompareSpec:
    """A checked comparison. Runs of one seed stand together, in the order of the entries."""

    name: str
    rounds: int
    seeds: tuple[int, ...]
    labels: tuple[str, ...]
    target: float | None  # accuracy; the table says how many rounds it took to reach it
    runs: tuple[PlannedRun, ...]

    def chosen(self, labels: Collection[str]) -> Collection[str]:
        """Return these labels, or all if there is none. Raises `InvalidSpec` for an unknown one."""
        for label in labels:
            if label not in self.labels:
                alike = [one for one in self.labels if one.casefold() == label.casefold()]
                hint = f"Did you mean {alike[0]!r}?" if alike else hint_for(label, self.labels)
                raise InvalidSpec(f"comparison {self.name} has no entry {label!r}", hint)
        return labels or self.labels


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    label: str = Field(min_length=1, max_length=_LONGEST_LABEL)

    @field_validator("label")
    @classmethod
    def _is_one_line(cls, label: str) -> str:
        if not label.isprintable() or label != label.strip():
            raise ValueError("must be one line of printable characters without spaces around it")
        return label

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What the entry changes, by section."""
        return self.model_extra or {}


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seeds: list[Seed] = Field([1], min_length=1, max_length=1000)
    target: float | None = Field(None, gt=0, le=1)
    compare: list[_Entry] = Field(min_length=1, max_length=64)

    @field_validator("seeds")
    @classmethod
    def _are_unique(cls, seeds: list[int]) -> list[int]:
        _require_unique("seed", seeds)
        return seeds

    @field_validator("compare")
    @classmethod
    def _have_labels_of_their_own(cls, entries: list[_Entry]) -> list[_Entry]:
        _require_unique("label", [entry.label for entry in entries])
        return entries


_BASE_KEYS: Final = frozenset(RunSpec.model_fields) - {"seed"}


def load_compare_spec(path: Path) -> CompareSpec:
    """Read and check the spec of a comparison. Raises `InvalidSpec` naming key, fault and nearest name."""
    try:
        return parse_compare_spec(read_toml(path))
    except FileNotFoundError as error:
        raise InvalidSpec(
            f"there is no file {path}", "Give the path of a comparison's spec (TOML)."
        ) from error


def parse_compare_spec(values: Mapping[str, Any]) -> CompareSpec:
    """Check a comparison and every run of it. Raises `InvalidSpec` with one line per fault."""
    own = _Head.model_fields
    _refuse("", [_unknown(key, (*own, *_BASE_KEYS)) for key in values if key not in {*own, *_BASE_KEYS}])
    base = {key: value for key, value in values.items() if key in _BASE_KEYS}
    common = parse_spec(base)
    head = _head({key: value for key, value in values.items() if key in own})
    specs = _entry_specs(base, head.compare)
    return CompareSpec(
        name=common.name,
        rounds=common.rounds,
        seeds=tuple(head.seeds),
        labels=tuple(specs),
        target=head.target,
        runs=tuple(
            PlannedRun(label, seed, spec.model_copy(update={"seed": seed}))
            for seed in head.seeds
            for label, spec in specs.items()
        ),
    )


def compare_for_this_machine(spec: CompareSpec, settings: Settings, rounds: int | None = None) -> CompareSpec:
    """Return the comparison with what the settings say about data and workers, and other rounds if given.

    Raises `InvalidSpec`, as a run spec does that is adapted in the same way.
    """
    runs = tuple(
        PlannedRun(run.label, run.seed, for_this_machine(run.spec, settings, rounds)) for run in spec.runs
    )
    return CompareSpec(spec.name, rounds or spec.rounds, spec.seeds, spec.labels, spec.target, runs)


def _head(values: Mapping[str, Any]) -> _Head:
    try:
        return _Head.model_validate(values)
    except ValidationError as error:
        raise InvalidSpec("\n".join(_describe(dict(fault)) for fault in error.errors()), _HINT) from error


def _describe(fault: Mapping[str, Any]) -> str:
    place, message = list(fault["loc"]), in_words(fault)
    if place[0] == "compare" and len(place) > 1:
        place = [f"entry {place[1] + 1} of compare", *place[2:]]
    where = ".".join(str(part) for part in place)
    if fault["type"] == "missing" or isinstance(fault["input"], list | dict):
        return f"{where}: {message}"
    return f"{where}: {message} (got {str(fault['input'])[:80]!r})"


def _entry_specs(base: Mapping[str, Any], entries: Sequence[_Entry]) -> dict[str, RunSpec]:
    """Return the spec of each entry by label; raises `InvalidSpec` with the faults of all entries."""
    specs, faults = {}, []
    for number, entry in enumerate(entries, start=1):
        try:
            specs[entry.label] = _entry_spec(base, entry.overrides)
        except InvalidSpec as error:
            faults += [f"entry {number} ({entry.label!r}): {line}" for line in error.message.splitlines()]
    _refuse(_HINT, faults)
    return specs


def _entry_spec(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> RunSpec:
    _refuse("", [_unknown(key, ("label", *SECTIONS)) for key in overrides if key not in SECTIONS])
    values = dict(base)
    for section, changes in overrides.items():
        if not isinstance(changes, dict):
            raise InvalidSpec(f"{section}: must be a table, as {section} = {{ … }}")
        values[section] = _changed(base.get(section, {}), changes)
    return parse_spec(values)


def _changed(section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change keys of a section. Whoever names another algorithm, model or partition leaves its arguments."""
    is_other = any(key in changes and changes[key] != section.get(key) for key in ("name", "kind"))
    kept = {key: value for key, value in section.items() if not (is_other and key in _ARGUMENTS)}
    return {**kept, **changes}


def _unknown(key: str, valid: Iterable[str]) -> str:
    names = sorted(valid)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    found = f"; did you mean {close[0]!r}?" if close else f"; valid here: {', '.join(names)}"
    return f"unknown key {key[:80]!r}{found}"


def _require_unique(noun: str, values: Sequence[object]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"the {noun} {twice[0]!r} is there more than once")


def _refuse(hint: str, faults: Sequence[str]) -> None:
    if faults:
        raise InvalidSpec("\n".join(faults), hint or _HINT)

"""The folder of a comparison: which runs belong to it, written down before each of them starts."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from foedus.client.compare.spec import CompareSpec
from foedus.core.canonical import Json
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.rounds.home import Home, full_disk_told, read_json, write_json
from foedus.rounds.runs import create_run, load_run_spec
from foedus.rounds.spec import RunSpec, parse_spec

PLAN: Final = "comparison.json"
_Written: TypeAlias = Mapping[tuple[str, int], tuple[Mapping[str, Any], str | None]]
"""What a plan says of a run, by label and seed: its spec, and its name once it has one."""
_WITHOUT_EFFECT: Final = ("jobs.workers", "jobs.checkpoint_s")  # on what comes out


@dataclass(slots=True)
class Plan:
    """A comparison in its folder. `names` are those of its runs, None for one that has not been created."""

    home: Home
    folder: Path
    spec: CompareSpec
    names: list[str | None] = field(default_factory=list)

    def run_name(self, index: int) -> str:
        """Return the name of a run, creating it if it is not there; the name is on disk before it starts.

        A run that was created, but not written down because the process ended in between, is taken up.
        """
        name = self.known_name(index)
        if name is None:
            spec = self.spec.runs[index].spec
            name = self._left_behind(spec) or create_run(self.home, spec)
            self.names[index] = name
            self.write()
        return name

    def known_name(self, index: int) -> str | None:
        """Return the name of a run that is there."""
        name = self.names[index]
        return name if name is not None and name in self.home.run_names() else None

    def write(self) -> None:
        """Write the plan down."""
        with full_disk_told(self.home.root):
            write_json(self.folder / PLAN, {**_content(self.spec), "names": self.names})

    def _left_behind(self, spec: RunSpec) -> str | None:
        from foedus.client.status import chain_events
        from foedus.rounds.view import find_run

        taken, events = {*self.names}, chain_events(self.home)
        for name in self.home.run_names():
            is_ours = name.rpartition("-")[0] == spec.name and name not in taken
            if is_ours and find_run(events, name) is None and _spec_of(self.home, name) == spec:
                return name
        return None


@contextmanager
def open_plan(home: Home, spec: CompareSpec, fresh: Collection[str] = ()) -> Iterator[Plan]:
    """Open the folder of a comparison and hold it: one process at a time works there. Writes no plan yet.

    A comparison of that name that is there is gone on with; it may have fewer entries. Of the labels in
    `fresh`, runs that were made are forgotten (they stay in the home folder). Raises `InvalidSpec` when
    another entry was planned with another spec or is not wanted any more; `HomeInUse` when somebody works on
    it.
    """
    folder = folder_of(home, spec.name)
    with Home(folder).locked():  # a lock of its own: the home folder's is free between two runs
        is_new = set(fresh) >= set(spec.labels) or not (folder / PLAN).exists()
        names = [] if is_new else _names(folder / PLAN, spec, fresh)
        yield Plan(home, folder, spec, names or [None] * len(spec.runs))


def written_plan(home: Home, spec: CompareSpec) -> Plan | None:
    """Return the plan that is on disk, each run with the spec it was given; None where there is none.

    It asks for no lock, so it can be looked at while somebody works on it. Raises `InvalidSpec` when it has
    entries that this comparison has not.
    """
    path = folder_of(home, spec.name) / PLAN
    if not path.exists():
        return None
    earlier = _read(path, spec)
    known = [earlier.get((run.label, run.seed)) for run in spec.runs]
    runs = tuple(
        replace(run, spec=parse_spec(dict(found[0]))) if found else run
        for run, found in zip(spec.runs, known, strict=True)
    )
    names = [found[1] if found else None for found in known]
    return Plan(home, path.parent, replace(spec, runs=runs), names)


def folder_of(home: Home, name: str) -> Path:
    """Return where a comparison of that name lies."""
    return home.root / "comparisons" / name


def _content(spec: CompareSpec) -> dict[str, Json]:
    runs: list[Json] = [
        {"label": run.label, "seed": run.seed, "spec": run.spec.model_dump(mode="json")} for run in spec.runs
    ]
    return {"kind": "comparison", "name": spec.name, "target": spec.target, "runs": runs}


def _names(path: Path, spec: CompareSpec, fresh: Collection[str]) -> list[str | None]:
    """Return the names of the runs so far. Raises `InvalidSpec` when the plan is that of other runs."""
    earlier, names = _read(path, spec), []
    for run in spec.runs:
        before, name = earlier.get((run.label, run.seed), ({}, None))
        different = _different(before, run.spec) if before and run.label not in fresh else ""
        if different:
            raise _other(path, f"{run.label!r} has another {different}")
        names.append(None if run.label in fresh else name)
    return names


def _read(path: Path, spec: CompareSpec) -> _Written:
    """Return the plan that was written. Raises `InvalidSpec` when it has runs that are not wanted now."""
    written = read_json(path)
    try:
        assert isinstance(written, dict)
        earlier = {
            (str(run["label"]), int(run["seed"])): (run["spec"], name if name is None else str(name))
            for run, name in zip(written["runs"], written["names"], strict=True)
        }
        assert all(isinstance(before, dict) for before, _ in earlier.values())
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise FoedusError(f"{path} is damaged", "Restore it, or start afresh with --fresh.") from error
    for label, seed in sorted(earlier.keys() - {(run.label, run.seed) for run in spec.runs}):
        raise _other(path, f"it has {label!r} with seed {seed}")
    return earlier


def _different(before: Mapping[str, Any], now: RunSpec) -> str:
    """Name the first setting in which two specs differ; some change nothing but the speed."""
    try:
        old = flat(parse_spec(dict(before)))
    except InvalidSpec:
        return "spec"
    new = flat(now)
    return next((key for key in new if key not in _WITHOUT_EFFECT and old.get(key) != new[key]), "")


def flat(spec: RunSpec) -> dict[str, Json]:
    """Return the settings of a spec by dotted key, without the seed."""
    found: dict[str, Json] = {}
    for key, value in spec.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": one for name, one in value.items()}
        elif key != "seed":
            found[key] = value
    return found


def _other(path: Path, why: str) -> InvalidSpec:
    return InvalidSpec(
        f"{path.parent} belongs to another comparison: {why}",
        "Give the data and settings of then or another name, or use --fresh (for an entry of an experiment"
        " alone, with --only); runs that are there stay.",
    )


def _spec_of(home: Home, name: str) -> RunSpec | None:
    try:
        return load_run_spec(home, name)
    except FoedusError:
        return None

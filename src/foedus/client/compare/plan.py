"""The folder of a comparison: which runs belong to it, written down before each of them starts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict

from foedus.client.compare.spec import CompareSpec, PlannedRun
from foedus.core.canonical import Json
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.records import Event
from foedus.rounds.home import Home, full_disk_told, read_json, write_json
from foedus.rounds.runs import create_run, load_run_spec
from foedus.rounds.spec import RunSpec, parse_spec

PLAN: Final = "comparison.json"
_WITHOUT_EFFECT: Final = ("jobs.workers", "jobs.checkpoint_s")  # on what comes out


class _WrittenRun(BaseModel):
    model_config = ConfigDict(strict=True)

    label: str
    seed: int
    spec: dict[str, Any]
    name: str | None = None


class _Written(BaseModel):
    """A plan as it lies on disk; `names` are those of its runs."""

    model_config = ConfigDict(strict=True)

    home: str = ""  # where the home folder was then: specs name folders in it
    runs: list[_WrittenRun]
    names: list[str | None]


_Earlier: TypeAlias = dict[tuple[str, int], _WrittenRun]  # by label and seed


@dataclass(slots=True)
class Plan:
    """A comparison in its folder. `names` are those of its runs, None for one that has not been created.

    `dropped` are runs of entries that the comparison has no more, for the case that it gets them back.
    """

    home: Home
    folder: Path
    spec: CompareSpec
    names: list[str | None] = field(default_factory=list)
    dropped: Sequence[_WrittenRun] = ()

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
            write_json(self.folder / PLAN, self._content())

    def _content(self) -> dict[str, Json]:
        runs: list[Json] = [
            {"label": run.label, "seed": run.seed, "spec": run.spec.model_dump(mode="json")}
            for run in self.spec.runs
        ]
        runs += [one.model_dump(mode="json", exclude={"name"}) for one in self.dropped]
        return {
            "kind": "comparison",
            "name": self.spec.name,
            "target": self.spec.target,
            "home": str(self.home.root),
            "runs": runs,
            "names": [*self.names, *(one.name for one in self.dropped)],
        }

    def _left_behind(self, spec: RunSpec) -> str | None:
        from foedus.client.status import chain_events

        taken = {*self.names, *(one.name for one in self.dropped)}
        events = chain_events(self.home)
        for name in self.home.run_names():
            is_ours = name.rpartition("-")[0] == spec.name and name not in taken
            if is_ours and not _has_begun(events, name) and _spec_of(self.home, name) == spec:
                return name
        return None


@contextmanager
def open_plan(
    home: Home, spec: CompareSpec, *, only: Collection[str] = (), fresh: bool = False
) -> Iterator[Plan]:
    """Open the folder of a comparison and hold it: one process at a time works there. Writes no plan yet.

    A comparison of that name that is there is gone on with; it may get entries and seeds, and lose some. With
    `only`, all but the entries with these labels stay as they are. `fresh` forgets the runs of the others
    (they stay in the home folder). Without it, raises `InvalidSpec` for one that has begun with another spec;
    `HomeInUse` when somebody works on the comparison.
    """
    folder = folder_of(home, spec.name)
    with Home(folder).locked():  # a lock of its own: the home folder's is free between two runs
        path, labels = folder / PLAN, only or spec.labels
        is_new = not path.exists() or (fresh and set(labels) >= set(spec.labels))
        earlier = {} if is_new else _read(path, home)
        taken = [
            _taken_up(home, path, run, earlier.pop((run.label, run.seed), None), run.label in labels, fresh)
            for run in spec.runs
        ]
        runs, names = (tuple(column) for column in zip(*taken, strict=True))
        dropped = [one for one in earlier.values() if one.name is not None]
        yield Plan(home, folder, replace(spec, runs=runs), [*names], dropped)


def _taken_up(
    home: Home, path: Path, run: PlannedRun, found: _WrittenRun | None, is_wanted: bool, is_fresh: bool
) -> tuple[PlannedRun, str | None]:
    """Return a run as it is to be planned, and its name if it is there already."""
    from foedus.client.status import chain_events

    if found is None or found.name is None or (is_wanted and is_fresh):
        return run, None
    if not is_wanted:
        return replace(run, spec=_spec_in(path, found)), found.name  # as it was carried out
    different = _different(found.spec, run.spec)
    if different and _has_begun(chain_events(home), found.name):
        raise InvalidSpec(
            f"{path.parent}: {run.label!r} has begun with another {different}",
            "Give the data and settings of then or another name, or begin it anew: --fresh, with --only for"
            " this entry alone. Runs that are there stay.",
        )
    return run, None if different else found.name


def written_plan(home: Home, spec: CompareSpec) -> Plan | None:
    """Return the plan that is on disk, each run with the spec it was given; None where there is none.

    It asks for no lock, so it can be looked at while somebody works on it. Runs that are not in it yet are
    told with the data of those that are.
    """
    path = folder_of(home, spec.name) / PLAN
    if not path.exists():
        return None
    earlier = _read(path, home)
    known = [earlier.get((run.label, run.seed)) for run in spec.runs]
    planned = [_spec_in(path, found) if found else None for found in known]
    first = next((one for one in planned if one), None)
    runs = [
        replace(run, spec=before or _on_its_data(run.spec, first))
        for run, before in zip(spec.runs, planned, strict=True)
    ]
    names = [found.name if found else None for found in known]
    return Plan(home, path.parent, replace(spec, runs=tuple(runs)), names)


def folder_of(home: Home, name: str) -> Path:
    """Return where a comparison of that name lies."""
    return home.root / "comparisons" / name


def _read(path: Path, home: Home) -> _Earlier:
    """Return the runs of a written plan. Raises `FoedusError` for a damaged one."""
    try:
        written = _Written.model_validate(read_json(path))
        earlier = {
            (run.label, run.seed): run.model_copy(
                update={"name": name, "spec": _moved(run.spec, written.home, home)}
            )
            for run, name in zip(written.runs, written.names, strict=True)
        }
    except ValueError as error:
        raise FoedusError(f"{path} is damaged", "Restore it, or start afresh with --fresh.") from error
    if len(earlier) < len(written.runs):
        raise FoedusError(
            f"{path} is damaged: it has a run twice", "Restore it, or start afresh with --fresh."
        )
    return earlier


def _moved(spec: Mapping[str, Any], before: str, home: Home) -> dict[str, Any]:
    """Return a spec that names the folder of its data in the home folder where that is now."""
    data = spec.get("data")
    if not before or not isinstance(data, dict) or not isinstance(data.get("folder"), str):
        return dict(spec)
    if not Path(data["folder"]).is_relative_to(before):
        return dict(spec)
    return {**spec, "data": {**data, "folder": str(home.root / Path(data["folder"]).relative_to(before))}}


def _spec_in(path: Path, run: _WrittenRun) -> RunSpec:
    try:
        return parse_spec(run.spec)
    except InvalidSpec as error:
        raise InvalidSpec(
            f"{path}: this version cannot read the spec of {run.label!r}: {error.message}",
            "Use the version that wrote it, or start afresh with --fresh; runs that are there stay.",
        ) from error


def _on_its_data(spec: RunSpec, first: RunSpec | None) -> RunSpec:
    if first is None:
        return spec
    data = spec.data.model_copy(update={"folder": first.data.folder, "source": first.data.source})
    return spec.model_copy(update={"data": data, "jobs": first.jobs})


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


def _has_begun(events: Sequence[Event], name: str) -> bool:
    """Whether anything of a run is on the chain."""
    from foedus.rounds.view import find_run

    return find_run(events, name) is not None


def _spec_of(home: Home, name: str) -> RunSpec | None:
    try:
        return load_run_spec(home, name)
    except FoedusError:
        return None

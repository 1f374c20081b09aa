"""The spec of an experiment: a comparison, and what its report says and shows beside it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foedus.client.compare import CompareSpec, parse_compare_spec
from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.learn.arguments import hint_for

_PACKAGE: Final = "foedus.client.experiments"

Line = Annotated[str, Field(min_length=1, max_length=200)]
Metric = Literal["accuracy", "f1", "loss"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PaperFigure(_Part):
    """A figure that the paper gives for one entry."""

    label: Line
    metric: Metric
    value: float


class Simulations(_Part):
    """Runs of the Gray–Scott application whose frames are the members' data."""

    size: int = Field(ge=16, le=1024)
    steps: int = Field(ge=1)
    frames: int = Field(ge=4)
    train: int = Field(1, ge=1, le=100, description="simulations of a regime to learn from")
    test: int = Field(1, ge=1, le=100, description="simulations of a regime to test with")
    regimes: dict[Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")], dict[str, float]] = Field(min_length=1)


class About(_Part):
    """What is said of an experiment, and how it is shown."""

    title: Line
    about: str
    data: Literal["mnist", "lungs", "covid", "simulations"]
    fast_rounds: int = Field(ge=1)
    groups: list[Line] = Field([], description="names of the labels, where these are sites or domains")
    pictures: Literal["none", "masks", "fields"] = "none"
    images: int = Field(4, ge=1, le=16, description="how many test examples are shown")
    source: str = Field("", description="where the paper's figures are from")
    paper: list[PaperFigure] = []
    simulations: Simulations | None = None
    instead: str = Field("", description="the experiment for those who cannot have these data")


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment."""

    name: str
    about: About
    comparison: CompareSpec
    planned_rounds: int  # of its file

    def with_rounds(self, rounds: int) -> "Experiment":
        """Return the experiment with other rounds, and a name of its own for what comes out."""
        return replace(self, comparison=_shortened(self.comparison, rounds))


def experiment_names() -> tuple[str, ...]:
    """Return the names of all experiments of the package, sorted."""
    return tuple(sorted(_known()))


def load_experiment(name: str) -> Experiment:
    """Return an experiment of the package. Raises `InvalidSpec` naming the nearest valid name."""
    if name not in _known():
        raise InvalidSpec(f"there is no experiment {name!r}", hint_for(name, _known()))
    return parse_experiment(name, tomllib.loads(_known()[name].read_text(encoding="utf-8")))


def parse_experiment(name: str, values: Mapping[str, Any]) -> Experiment:
    """Check the values of an experiment's file. Raises `InvalidSpec` with one line per fault."""
    rest = {key: value for key, value in values.items() if key != "experiment"}
    comparison = parse_compare_spec({"name": name, **rest})
    try:
        about = About.model_validate(values.get("experiment", {}))
    except ValidationError as error:
        faults = (f"experiment.{'.'.join(map(str, f['loc']))}: {in_words(dict(f))}" for f in error.errors())
        raise InvalidSpec("\n".join(faults)) from error
    unknown = [one.label for one in about.paper if one.label not in comparison.labels]
    if unknown:
        raise InvalidSpec(f"experiment.paper: there is no entry {unknown[0]!r}")
    if (about.data == "simulations") != (about.simulations is not None):
        raise InvalidSpec('experiment.simulations and data = "simulations" belong together')
    if about.simulations is not None and about.groups != sorted(about.simulations.regimes):
        raise InvalidSpec("experiment.groups must name the regimes by the alphabet, as labels number them")
    return Experiment(name, about, comparison, comparison.rounds)


def _shortened(spec: CompareSpec, rounds: int) -> CompareSpec:
    if rounds == spec.rounds:
        return spec
    name = f"{spec.name}-{rounds}"
    runs = tuple(
        replace(run, spec=run.spec.model_copy(update={"rounds": rounds, "name": name})) for run in spec.runs
    )
    return replace(spec, name=name, rounds=rounds, runs=runs)


def in_folder(spec: CompareSpec, folder: Path) -> CompareSpec:
    """Return the comparison with the folder in which the data of all its runs lie."""
    runs = []
    for run in spec.runs:
        data = run.spec.data.model_copy(update={"folder": str(folder), "source": "folder"})
        runs.append(replace(run, spec=run.spec.model_copy(update={"data": data})))
    return replace(spec, runs=tuple(runs))


@cache
def _known() -> Mapping[str, Traversable]:
    found = (one for one in files(_PACKAGE).iterdir() if one.name.endswith(".toml"))
    return {one.name.removesuffix(".toml"): one for one in found}

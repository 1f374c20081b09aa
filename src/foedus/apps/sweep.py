"""Sweeps: an application as one batch job for each combination of some parameters' values."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from foedus.apps.application import Application
from foedus.apps.submit import AppJob, check, submit
from foedus.core.errors import InvalidSpec
from foedus.core.protocols import Launcher
from foedus.core.records import Resources

if TYPE_CHECKING:
    from foedus.rounds.home import Home

MOST_JOBS: Final = 1000


def combinations(
    parameters: Mapping[str, object], each: Mapping[str, Sequence[object]]
) -> list[dict[str, object]]:
    """Return the parameters with each combination of the values in `each`; the last name varies fastest.

    Raises `InvalidSpec` for a name that is also in `parameters`, and for more than `MOST_JOBS`.
    """
    twice = sorted(set(parameters) & set(each))
    if twice:
        raise InvalidSpec(f"parameter {twice[0]} is given twice", "Give it once, by -p or by --each.")
    count = math.prod(map(len, each.values()))
    if count > MOST_JOBS:
        raise InvalidSpec(f"these are {count:,} batch jobs", f"At most {MOST_JOBS:,} are submitted at once.")
    return [
        {**parameters, **dict(zip(each, chosen, strict=True))} for chosen in itertools.product(*each.values())
    ]


def submit_each(
    home: "Home",
    launcher: Launcher,
    application: Application,
    variants: Sequence[Mapping[str, object]],
    resources: Resources,
    dataset: str = "",
) -> list[AppJob]:
    """Submit a batch job for each variant of the parameters, after all of them were checked.

    With a `dataset`, the outputs become the datasets `<dataset>-1` and so on. Raises `InvalidSpec` before
    anything is written, or what the launcher raises.
    """
    names = [f"{dataset}-{number}" if dataset else "" for number in range(1, len(variants) + 1)]
    told = list(zip(variants, names, strict=True))
    for variant, name in told:
        check(home, application, variant, name)
    return [submit(home, launcher, application, variant, resources, name) for variant, name in told]

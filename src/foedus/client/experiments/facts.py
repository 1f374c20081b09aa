"""What a report says of itself: data, seeds, dates, machine and versions, so that others can repeat it."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from foedus.client.compare import CompareSpec, Comparison
from foedus.client.experiments.records import RunScores
from foedus.client.experiments.spec import Experiment, Simulations
from foedus.client.report.words import duration
from foedus.launch.local import usable_cpus
from foedus.site.machine import memory_gib, processor

_SHOWN_OF_DATA: Final = ("name", "source", "images", "side", "ahead", "rates", "test", "shared")


def facts(
    experiment: Experiment, spec: CompareSpec, comparison: Comparison, scores: Sequence[RunScores]
) -> Mapping[str, str]:
    """Return what is to be told, by name. `spec` is the comparison as it was carried out."""
    return {
        "rounds": str(comparison.rounds),
        "seeds": ", ".join(map(str, comparison.seeds)),
        "data": _data(spec),
        **_simulations(experiment.about.simulations),
        **(_of_the_runs(comparison, scores) if scores else {}),
        "reported on": f"{processor()}, {usable_cpus()} cores, {memory_gib():.0f} GiB",
        "system": platform.platform(),
        "reported with": f"Foedus {version('foedus')}, Python {platform.python_version()}, "
        f"PyTorch {version('torch')}, NumPy {version('numpy')}",
    }


def _data(spec: CompareSpec) -> str:
    data = spec.runs[0].spec.data.model_dump(mode="json", exclude_defaults=True)
    data = {**data, "name": spec.runs[0].spec.data.name}
    return ", ".join(f"{key} {data[key]}" for key in _SHOWN_OF_DATA if key in data)


def _simulations(wanted: Simulations | None) -> dict[str, str]:
    if wanted is None:
        return {}
    regimes = (
        f"{name} ({', '.join(f'{rate} {value:g}' for rate, value in rates.items())})"
        for name, rates in wanted.regimes.items()
    )
    about = f"{wanted.size} × {wanted.size}, {wanted.steps:,} steps, {wanted.frames} frames"
    return {"simulations": f"{about}: {', '.join(regimes)}"}


def _of_the_runs(comparison: Comparison, scores: Sequence[RunScores]) -> dict[str, str]:
    began, ended = min(one.began for one in scores), max(one.ended for one in scores)
    digest = next((one.data for one in comparison.runs if one.run == scores[0].run), None)
    return {
        "test set": _test_set(scores),
        "datasets": f"{digest or 'not known'} (digest of the clients' CIDs, first run)",
        "carried out": f"{_date(began)} to {_date(ended)}",
        "time of all runs": duration(sum(one.seconds for one in comparison.runs)),
    }


def _test_set(scores: Sequence[RunScores]) -> str:
    found = {one.test: one.examples for one in scores}
    return ", ".join(f"{cid} ({examples:,} examples)" for cid, examples in found.items())


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

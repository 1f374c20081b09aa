"""Run specs at the edge: what this machine's settings change in one, and whether it would work."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foedus.core.errors import UnsupportedArchitecture
from foedus.rounds.home import Home
from foedus.site.settings import Settings, whole_path

if TYPE_CHECKING:
    from foedus.rounds.documents import PrepareResult
    from foedus.rounds.spec import RunSpec

DEMO = Path(__file__).with_name("demo.toml")
"""The spec of `foedus demo`."""


def for_this_machine(spec: "RunSpec", settings: Settings, rounds: int | None = None) -> "RunSpec":
    """Return the spec with what the settings say about data and workers; relative folders become absolute.

    `rounds` replaces those of the spec. The result is checked as any spec is: raises `InvalidSpec`.
    """
    from foedus.rounds.spec import parse_spec

    values: dict[str, Any] = spec.model_dump(mode="json")
    if rounds is not None:
        values["rounds"] = rounds
    data, jobs = values["data"], values["jobs"]
    if settings.data is not None:
        data |= {"source": "folder", "folder": str(settings.data)}
    elif data["folder"]:
        data["folder"] = str(whole_path(Path(data["folder"]), "data.folder"))
    jobs |= {key: getattr(settings, key) for key in ("workers", "threads") if getattr(settings, key)}
    return parse_spec(values)


def rehearse(spec: "RunSpec", home: Home) -> "PrepareResult":
    """Do in a temporary folder what a run does before its first round, and return what that gives.

    Raises `InvalidSpec`, `InvalidData` or `UnsupportedModel`, just as the run would.
    """
    from foedus.launch import JobFolder
    from foedus.rounds.documents import PrepareOrder, PrepareResult
    from foedus.rounds.setup import groups_of
    from foedus.rounds.tasks.prepare import run_prepare

    with tempfile.TemporaryDirectory(prefix="foedus-") as name:
        order = PrepareOrder(
            spec=spec.model_dump(mode="json"),
            members={str(name): [str(c) for c in clients] for name, clients in groups_of(spec).items()},
            data_cache=str(home.data),
            data_folder=str(Path(name) / "data"),
        )
        folder = JobFolder(name)
        run_prepare(folder, order.to_json())
        return PrepareResult.from_json(folder.read_result(), "the result of the rehearsal")


def notes_on(spec: "RunSpec") -> list[str]:
    """Say what whoever starts this run should know. Raises as `fallback_note` does."""
    return [note for note in (fallback_note(spec), privacy_note(spec)) if note]


def privacy_note(spec: "RunSpec") -> str:
    """Warn when clients hand over gradients of single batches; else nothing."""
    batch = spec.algorithm.params.get("batch", 0)
    if spec.algorithm.name != "fedsgd" or not batch:
        return ""
    return (
        f"fedsgd with batch = {batch} hands over the gradient of one batch, the update from which training "
        "examples are most easily reconstructed"
    )


def fallback_note(spec: "RunSpec") -> str:
    """Say that the algorithm does not take the model and what stands in for it, and why; else nothing.

    Loads PyTorch only where the spec has `params.fallback`. Raises `InvalidSpec` or `UnsupportedModel` when
    the algorithm could not run even so.
    """
    name, params = spec.algorithm.name, spec.algorithm.params
    if params.get("fallback") != "fedavg":
        return ""
    from foedus.learn.algorithms import get_strategy
    from foedus.learn.models import build_model

    strict = get_strategy(name, {**params, "fallback": "none"})
    try:
        strict.check(build_model(spec.model.name, spec.model.args))
    except UnsupportedArchitecture as error:
        return f"{name} does not take this model ({error.message}); it is treated as FedAvg"
    return ""

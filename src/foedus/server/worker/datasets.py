"""Reads data that somebody wants to register, and notes what they are like."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from foedus.apps.datasets import catalogue
from foedus.apps.datasets.catalogue import Dataset as Registered
from foedus.apps.datasets.catalogue import SplitRule
from foedus.apps.datasets.loading import register
from foedus.apps.datasets.recipe import Step
from foedus.core.errors import FoedusError, InvalidData
from foedus.launch import JobFolder
from foedus.rounds.home import Home
from foedus.server.db import Dataset
from foedus.server.errors import NotFound
from foedus.server.platform import Platform
from foedus.server.services.places import check_again, roots_of

_LONGEST_CAUSE: Final = 4000


def register_dataset(platform: Platform, dataset_id: int) -> None:
    """Read and check the data of a dataset that is `checking`: it is then `ready`, or `refused` with a cause.

    Doing it again after a crash gives the same. Never tells the path, neither in the cause nor in the log.
    """
    with platform.reading() as db:
        dataset = db.get(Dataset, dataset_id)
        if dataset is None or dataset.state != "checking":
            return
        owner, name, kind, request = dataset.owner.name, dataset.name, dataset.kind, dict(dataset.request)
    found, cause = None, ""
    try:
        found = _read(platform, owner, name, kind, request)
    except (NotFound, OSError):
        cause = "the data are not there any more, or cannot be read by the platform"
    except FoedusError as error:
        cause = _without(str(request.get("path", "")), f"{error.message}. {error.hint}".strip())
    with platform.writing() as db:
        dataset = db.get(Dataset, dataset_id)
        if dataset is None or dataset.state != "checking":  # withdrawn meanwhile
            return
        dataset.state, dataset.cause = ("ready", "") if found else ("refused", cause[:_LONGEST_CAUSE])
        if found:
            dataset.metadata_, dataset.examples = dict(found.public_metadata()), found.examples


def _read(platform: Platform, owner: str, name: str, kind: str, request: Mapping[str, Any]) -> Registered:
    home = platform.user_home(owner)
    path = _output_of(home, str(request["job"])) if "job" in request else Path(str(request["path"]))
    roots = roots_of(platform.server.data_roots, owner)
    if "job" not in request:
        check_again(roots, path)
    if catalogue.dataset_file(home, name).exists():  # a worker that was killed has done it
        return catalogue.find_dataset(home, name)
    steps = [Step.from_json(step) for step in request.get("recipe", ())]
    split = SplitRule(int(request["seed"]), float(request["val"]), float(request["test"]))
    found = register(home, name, kind, path, steps, split)
    if found.path != str(path.resolve()) or ("job" not in request and not _is_below(roots, found.path)):
        catalogue.remove(home, name)
        raise InvalidData("the place of the data changed while they were read")
    return found


def _output_of(home: Home, job: str) -> Path:
    """Return the output folder of a batch job: that of the attempt whose result counts."""
    return JobFolder(home.root / "jobs" / job).path / "output"


def _is_below(roots: tuple[Path, ...], path: str) -> bool:
    return any(Path(path).is_relative_to(root.resolve()) for root in roots)


def _without(path: str, text: str) -> str:
    return text.replace(path, "the data") if path else text

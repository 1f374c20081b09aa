"""Draws the examples that a member publishes, and puts them into the store."""

from typing import Final

import numpy as np
import numpy.typing as npt

from foedus.apps.datasets.loading import Loaded, load
from foedus.core.canonical import derive_seed
from foedus.core.errors import FoedusError, InvalidData
from foedus.server.db import Project, SharedDataset
from foedus.server.platform import Platform
from foedus.store import encode

_LONGEST_CAUSE: Final = 4000


def publish(platform: Platform, shared_id: int) -> None:
    """Write `images` and `labels` of a shared dataset that is `publishing`, and note their CID.

    Where the project learns masks, they are written, too, as `targets`.

    The draw depends on the seed alone, so doing it again after a crash gives the same CID.
    """
    with platform.reading() as db:
        shared = db.get(SharedDataset, shared_id)
        if shared is None or shared.state != "publishing":
            return
        owner, name = shared.dataset.owner.name, shared.dataset.name
        examples, seed, task = shared.examples, shared.seed, db.get_one(Project, shared.project_id).task
    cid, cause = None, ""
    try:
        cid = _put(platform, owner, name, examples, seed, task)
    except FoedusError as error:
        cause = f"{error.message}. {error.hint}".strip()
    with platform.writing() as db:
        shared = db.get(SharedDataset, shared_id)
        if shared is not None and shared.state == "publishing":
            shared.state, shared.cid = ("ready", cid) if cid else ("refused", None)
            shared.cause = cause[:_LONGEST_CAUSE]


def _put(platform: Platform, owner: str, name: str, examples: int, seed: int, task: str) -> str:
    loaded = load(platform.user_home(owner), name)
    if loaded.labels is None or examples > len(loaded.values):
        raise InvalidData(f"the dataset {name!r} has not so many labelled examples")
    random = np.random.default_rng(derive_seed("shared-data", seed))
    rows = np.sort(random.choice(len(loaded.values), examples, replace=False))
    tensors = {"images": loaded.values[rows], "labels": loaded.labels[rows]}
    if task == "segmentation":
        tensors["targets"] = _masks(loaded, name)[rows]
    return str(platform.store.put(encode(tensors)))


def _masks(loaded: Loaded, name: str) -> npt.NDArray[np.uint8]:
    if loaded.targets is None or loaded.targets.dtype != np.uint8:
        raise InvalidData(
            f"the dataset {name!r} has no masks, and the project learns them", "Share examples with masks."
        )
    return loaded.targets

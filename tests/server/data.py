"""Datasets of the tests: small, labelled, and where the platform may read them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.server.people import Person

from foedus.server.db import Dataset
from foedus.server.platform import Platform
from foedus.server.worker.datasets import register_dataset


def with_roots(platform: Platform, root: Path) -> Platform:
    """Return the platform with one data root for each person."""
    server = platform.server.model_copy(update={"data_roots": (root / "{user}",)})
    return replace(platform, settings=platform.settings.model_copy(update={"server": server}))


def write_digits(folder: Path, counts: tuple[int, ...] = (20, 17, 3)) -> Path:
    """Write random images with so many of each label."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    images = random.integers(0, 255, (sum(counts), 8, 8), dtype=np.uint8)
    np.savez(folder / "digits.npz", images=images, labels=np.repeat(np.arange(len(counts)), counts))
    return folder / "digits.npz"


def ready_dataset(platform: Platform, person: Person, root: Path, name: str = "digits") -> int:
    """Register a dataset of somebody as a worker does. The platform must have `root` among its roots."""
    path = write_digits(root / person.user.name)
    request = {"path": str(path), "recipe": [], "val": 0.1, "test": 0.1, "seed": 1}
    with platform.writing() as db:
        dataset = Dataset(owner_id=person.user.id, name=name, kind="arrays", request=request)
        db.add(dataset)
        db.flush()
        dataset_id = dataset.id
    register_dataset(platform, dataset_id)
    return dataset_id

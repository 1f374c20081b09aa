"""A run with versions that can be computed, and images that sites show."""

from pathlib import Path

import numpy as np
from sqlalchemy import select
from tests.server.people import Person

from foedus.core.ids import Cid
from foedus.learn.models import initial_weights
from foedus.rounds.documents import ModelSpec, TensorEntry, publish
from foedus.server.db import ChainVersion, Dataset, ImageRequest, Membership, Project, Run
from foedus.server.platform import Platform
from foedus.server.worker.datasets import register_dataset
from foedus.server.worker.images import copy_images
from foedus.store import AlgorithmRef, ModelManifest, Schema, encode, put_manifest

CHAIN_RUN = 41


def digits(platform: Platform, person: Person, root: Path, slug: str = "", side: int = 28) -> int:
    """Register 12 images of 3 labels of somebody, and contribute them to a project."""
    folder = root / person.user.name
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(7).integers(0, 255, (12, side, side), dtype=np.uint8)
    np.savez(folder / f"{side}.npz", images=images, labels=np.arange(12) % 3)
    path = str(folder / f"{side}.npz")
    request = {"path": path, "recipe": [], "val": 0.1, "test": 0.1, "seed": 1}
    with platform.writing() as db:
        dataset = Dataset(owner_id=person.user.id, name=f"digits-{side}", kind="arrays", request=request)
        db.add(dataset)
        db.flush()
        found = dataset.id
    register_dataset(platform, found)
    if slug:
        contribute(platform, person, slug, found)
    return found


def contribute(platform: Platform, person: Person, slug: str, dataset: int | None) -> None:
    """Have a member's dataset train in a project."""
    with platform.writing() as db:
        project = select(Project.id).where(Project.slug == slug).scalar_subquery()
        mine = select(Membership).where(
            Membership.project_id == project, Membership.user_id == person.user.id
        )
        db.scalars(mine).one().dataset_id = dataset


def copied(platform: Platform, person: Person, dataset: int, places: list[int]) -> list[int]:
    """Approve images as their owner, and copy them as a worker does; returns their ids."""
    answer = person.program.post(f"/api/v1/datasets/{dataset}/images", json={"places": places})
    assert answer.status_code == 201, answer.text
    copy_images(platform, answer.json()["id"])
    with platform.reading() as db:
        request = db.get_one(ImageRequest, answer.json()["id"])
        assert (request.state, request.cause) == ("ready", "")
    items = person.program.get(f"/api/v1/datasets/{dataset}/images").json()["items"]
    return [one["id"] for one in items if one["place"] in places]


def run_of(platform: Platform, person: Person, slug: str, model: str = "cnn-bn", versions: int = 3) -> str:
    """Make a run whose versions are in the store and in the index; returns its name."""
    name = f"{slug}-{model}"
    with platform.writing() as db:
        number = CHAIN_RUN + len(db.scalars(select(Run.id)).all())
        project = db.scalars(select(Project).where(Project.slug == slug)).one()
        run = Run(
            name=name,
            project_id=project.id,
            created_by=person.user.id,
            spec={},
            algorithm="fedavg",
            rounds=versions - 1,
            chain_run=number,
            state="completed",
        )
        db.add(run)
        base: Cid | None = None
        for version in range(versions):
            base = put_version(platform, version, base, model)
            row = ChainVersion(
                run=number, version=version, cid=base, round=version, time=1, tx=f"0x{version:064x}"
            )
            db.add(row)
    return name


def put_version(platform: Platform, version: int, base: Cid | None, model: str) -> Cid:
    """Put a model into the store; the version is the seed of its weights."""
    weights = initial_weights(model, {}, version)
    tensors = {
        key: TensorEntry(dtype=one.dtype, shape=list(one.shape)) for key, one in Schema.of(weights).items()
    }
    spec = publish(platform.store, ModelSpec(name=model, args={}, tensors=tensors))
    stored = platform.store.put(encode(weights))
    return put_manifest(
        platform.store, ModelManifest(version, spec, stored, base, AlgorithmRef("fedavg", {}))
    )

"""A small published project on real images, for tests of the tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.rounds.documents import PrepareOrder, PrepareResult
from foedus.rounds.setup import groups_of, publish_project
from foedus.rounds.spec import parse_spec
from foedus.rounds.tasks import run_task
from foedus.rounds.tasks.project import Project
from foedus.store import DirectoryStore, encode

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class World:
    """A published project with a version 0."""

    project: Project
    version0: Cid
    folder: Path
    prepared: PrepareResult

    @property
    def initial(self) -> Tensors:
        return dict(self.project.state(self.version0).weights)

    def put(self, data: bytes) -> Cid:
        return self.project.store.put(data)

    def update(self, shift: float) -> bytes:
        return to_bytes({name: array + np.float32(shift) for name, array in self.initial.items()})


def to_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(bytes(part) for part in encode(tensors))


def build_world(folder: Path, **sections: Any) -> World:  # noqa: ANN401 - sections of a spec, as in TOML
    """Prepare and publish a project of three clients with a linear model."""
    spec = parse_spec(
        {
            "model": {"name": "softmax"},
            "data": {"images": 300, "test": 50, "shared": 50, "source": "small"},
            "partition": {"kind": "iid"},
            "policy": {"floor_ratio": 0.9},
            **sections,
        }
    )
    job = JobFolder(folder / "jobs" / "prepare")
    job.path.mkdir(parents=True)
    order = PrepareOrder(
        spec=spec.model_dump(mode="json"),
        members={str(name): [str(c) for c in clients] for name, clients in groups_of(spec).items()},
        data_cache=str(folder),
        data_folder=str(folder / "data"),
    )
    job.write_spec(order.to_json())
    run_task(job)
    prepared = PrepareResult.from_json(job.read_result(), "prepared")
    store = DirectoryStore(folder / "store")
    terms, version0 = publish_project(store, spec, prepared, folder)
    return World(Project(str(store.root), terms), version0, folder, prepared)

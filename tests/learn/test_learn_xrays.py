"""X-rays with masks, in the layouts in which they are published, and simulations by group."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foedus.core.errors import InvalidData
from foedus.learn.datasets import CHANGE_SCALE, COVID_CLASSES, covid, frames, lungs
from shared import SHARED, missing


def picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def database(folder: Path) -> Path:
    """Two images of each class: grey of 299, masks RGB of 256, the left half inside."""
    random = np.random.default_rng(0)
    mask = np.zeros((256, 256, 3), np.uint8)
    mask[:, :128] = 255
    for name in COVID_CLASSES:
        for number in (1, 2):
            picture(
                folder / name / "images" / f"{name}-{number}.png",
                random.integers(0, 256, (299, 299), np.uint8),
            )
            picture(folder / name / "masks" / f"{name}-{number}.png", mask)
    return folder


def test_the_database_as_it_is_published(tmp_path: Path) -> None:
    data = covid(database(tmp_path), 64)
    assert data.images.shape == (8, 64, 64)
    assert data.images.dtype == np.uint8
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert data.targets is not None
    assert set(np.unique(data.targets)) == {0, 1}
    np.testing.assert_array_equal(data.targets.mean(axis=(1, 2)), 0.5)
    assert data.targets[0, 0, :32].all()


def test_duplicates_count_once_and_are_told(tmp_path: Path) -> None:
    folder = database(tmp_path)
    again = folder / "COVID" / "images" / "COVID-2.png"
    again.write_bytes((folder / "COVID" / "images" / "COVID-1.png").read_bytes())
    data = covid(folder, 32)
    assert data.labels.tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert "1 duplicates left out" in data.source


def test_one_image_of_each_real_class() -> None:
    folder = SHARED / "data" / "kaggle_layout_sample"
    if not folder.is_dir():
        missing(str(folder))
    data = covid(folder, 128)
    assert data.labels.tolist() == [0, 1, 2, 3]
    assert data.targets is not None
    assert (data.targets.mean(axis=(1, 2)) > 0.05).all()
    assert (data.targets.mean(axis=(1, 2)) < 0.6).all()


@pytest.mark.slow
def test_the_real_lungs() -> None:
    folder = SHARED / "data" / "lungs"
    if not folder.is_dir():
        missing(str(folder))
    data = lungs(folder, 64)
    assert np.bincount(data.labels).tolist() == [80, 58, 279, 287]
    assert data.targets is not None
    assert 0.2 < data.targets.mean() < 0.3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "Normal" / "masks" / "Normal-1.png").unlink(), "has no mask"),
        (
            lambda folder: (folder / "Normal" / "images" / "Normal-1.png").write_bytes(b"\x89PNG"),
            "no readable",
        ),
        (lambda folder: (folder / "Normal" / "masks" / "Normal-2.png").write_bytes(b""), "no readable"),
        (lambda folder: (folder / "Normal").rename(folder / "normal"), "there is no folder"),
        (lambda folder: [one.unlink() for one in (folder / "COVID" / "images").iterdir()], "no picture"),
    ],
)
def test_what_is_missing_or_damaged_is_named(tmp_path: Path, spoil: object, message: str) -> None:
    folder = database(tmp_path)
    spoil(folder)  # type: ignore[operator]  # a lambda of the list above
    with pytest.raises(InvalidData, match=message):
        covid(folder, 32)


def hospitals(folder: Path) -> Path:
    random, mask = np.random.default_rng(0), np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    for site in ("montgomery", "shenzhen"):
        for name in ("a_0", "b_1"):
            image = random.integers(0, 256, (32, 32), np.uint8)
            picture(folder / site / "images" / f"{name}.png", image)
            picture(folder / site / "masks" / f"{name}.png", mask)
    return folder


def test_labels_are_hospital_and_finding_and_hidden_files_none_of_ours(tmp_path: Path) -> None:
    (hospitals(tmp_path) / "shenzhen" / "images" / "._a_0.png").write_bytes(b"of another system")
    data = lungs(tmp_path, 16)
    assert data.labels.tolist() == [0, 1, 2, 3]


def _sixteen_bits(folder: Path) -> None:
    picture(folder / "shenzhen" / "images" / "a_0.png", np.full((32, 32), 40_000, np.uint16))


def _ones(folder: Path) -> None:
    picture(folder / "shenzhen" / "masks" / "a_0.png", np.eye(32, dtype=np.uint8))


def _nameless(folder: Path) -> None:
    for part in ("images", "masks"):
        place = folder / "shenzhen" / part
        (place / "a_0.png").rename(place / "a_2.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_sixteen_bits, r"a_0\.png has pixels of kind I;16"),
        (_ones, r"a_0\.png has no pixel above 127"),
        (_nameless, r"a_2\.png tells no finding"),
    ],
)
def test_pictures_that_mean_something_else_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(hospitals(tmp_path))
    with pytest.raises(InvalidData, match=message):
        lungs(tmp_path, 16)


# --- simulations ---


def simulations(folder: Path, groups: tuple[str, ...] = ("spots", "waves"), count: int = 4) -> Path:
    random = np.random.default_rng(0)
    for group in groups:
        for part in ("train", "test"):
            place = folder / group / part / "a"
            place.mkdir(parents=True)
            for name in ("u", "v"):
                np.save(place / f"{name}.npy", random.random((count, 8, 8)))
    return folder


def test_pairs_are_a_state_and_its_change_and_tests_come_last(tmp_path: Path) -> None:
    data = frames(simulations(tmp_path), ahead=2)
    assert data.images.shape == data.targets.shape == (8, 2, 8, 8)
    assert data.labels.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert data.train_count == 4
    u = np.load(tmp_path / "waves" / "test" / "a" / "u.npy").astype(np.float32)
    np.testing.assert_array_equal(data.images[6, 0], u[0])
    np.testing.assert_allclose(data.targets[7, 0], (u[3] - u[1]) * CHANGE_SCALE, rtol=1e-5)


def test_rates_are_two_more_channels(tmp_path: Path) -> None:
    folder = simulations(tmp_path)
    for place in folder.glob("*/*/a"):
        rates = {"F": 0.04 if place.parts[-3] == "waves" else 0.03, "k": 0.063}
        (place / "metadata.json").write_text(json.dumps({"parameters": rates}))
    data = frames(folder, ahead=1, with_rates=True)
    assert data.images.shape == (12, 4, 8, 8)
    assert data.images.dtype == np.float32
    np.testing.assert_array_equal(data.images[:, :2], frames(folder, ahead=1).images)
    for row, label in zip(data.images, data.labels, strict=True):
        np.testing.assert_allclose(row[2], label, atol=1e-5)
    np.testing.assert_allclose(data.images[:, 3], 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "{", "[]", "[" * 100_000),
        *('{"parameters": {"F": 1}}', '{"parameters": {"F": NaN, "k": 1}}'),
        *('{"parameters": {"F": true, "k": 1}}', '{"parameters": {"F": %s, "k": 1}}' % ("9" * 400)),
    ],
)
def test_simulations_that_do_not_tell_their_rates_are_named(tmp_path: Path, text: str | None) -> None:
    folder = simulations(tmp_path)
    if text is not None:
        for place in folder.glob("*/*/a"):
            (place / "metadata.json").write_text(text)
    with pytest.raises(InvalidData, match=r"spots.*metadata\.json"):
        frames(folder, ahead=1, with_rates=True)


def _spoil(values: np.ndarray) -> np.ndarray:
    values[0, 0, 0] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 8, 8)), "more than 2"),
        (np.zeros((4, 8, 9)), "need alike"),
        (np.zeros((4, 8)), "of shape"),
        (np.zeros((4, 0, 0)), "of shape"),
        (np.full((4, 8, 8), 1e300), "no finite numbers"),
        (np.zeros((4, 8, 8), np.int64), "int64"),
        (_spoil(np.zeros((4, 8, 8))), "no finite numbers"),
        (np.array([object()]), "cannot read"),
    ],
)
def test_unusable_frames_are_named(tmp_path: Path, values: np.ndarray, message: str) -> None:
    folder = simulations(tmp_path)
    np.save(folder / "spots" / "train" / "a" / "v.npy", values)
    with pytest.raises(InvalidData, match=message):
        frames(folder, ahead=2)


def test_changes_that_overflow_are_named(tmp_path: Path) -> None:
    folder = simulations(tmp_path)
    values = np.zeros((4, 8, 8))
    values[0], values[2] = -3e38, 3e38
    np.save(folder / "spots" / "train" / "a" / "v.npy", values)
    with pytest.raises(InvalidData, match="change by more"):
        frames(folder, ahead=2)


@pytest.mark.parametrize("start", [b"PK\x03\x04 no archive", b""], ids=["zip", "empty"])
def test_damaged_files_are_named(tmp_path: Path, start: bytes) -> None:
    folder = simulations(tmp_path)
    (folder / "spots" / "train" / "a" / "u.npy").write_bytes(start)
    with pytest.raises(InvalidData, match=r"cannot read .*u\.npy"):
        frames(folder, ahead=2)


def test_a_head_that_claims_more_than_there_is_memory_is_named(tmp_path: Path) -> None:
    file = simulations(tmp_path) / "spots" / "train" / "a" / "u.npy"
    with file.open("wb") as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<f4", "fortran_order": False, "shape": (10**5, 10**5, 10**5)}
        )
    with pytest.raises(InvalidData, match=r"cannot read .*u\.npy"):
        frames(tmp_path, ahead=2)


def test_several_arrays_are_no_field(tmp_path: Path) -> None:
    folder = simulations(tmp_path)
    with (folder / "spots" / "train" / "a" / "u.npy").open("wb") as file:
        np.savez(file, u=np.zeros((4, 8, 8)))
    with pytest.raises(InvalidData, match="several arrays"):
        frames(folder, ahead=2)


def test_hidden_folders_are_none_of_ours(tmp_path: Path) -> None:
    folder = simulations(tmp_path)
    before = frames(folder, ahead=1)
    for place in (folder / ".notes", folder / "spots" / "train" / ".a"):
        place.mkdir()
    assert frames(folder, ahead=1).label_count == before.label_count


def test_a_group_without_simulations_is_named(tmp_path: Path) -> None:
    folder = simulations(tmp_path)
    (folder / "zebra").mkdir()
    with pytest.raises(InvalidData, match="zebra"):
        frames(folder, ahead=1)
    with pytest.raises(InvalidData, match="no folder of simulations"):
        frames(tmp_path / "none", ahead=1)

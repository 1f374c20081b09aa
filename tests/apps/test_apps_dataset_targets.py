"""Masks and fields beside examples are read, follow the recipe, and are refused where they do not fit."""

from pathlib import Path

import numpy as np
import pytest
from datasets_tools import random_images, read, refused

from foedus.apps.datasets.loading import SplitRule, load, register
from foedus.apps.datasets.recipe import parse_step
from foedus.rounds.home import Home

IMAGES = random_images(6, side=4)
MASKS = (IMAGES > 127).astype(np.uint8)
FIELDS = np.random.default_rng(2).normal(size=(6, 2, 4, 4))


def written(folder: Path, **arrays: np.ndarray) -> Path:
    """Write images and what is beside them."""
    everything = {"images": IMAGES, **arrays}
    np.savez(folder / "d.npz", **everything)  # type: ignore[arg-type]  # names are those of arrays
    return folder / "d.npz"


@pytest.mark.parametrize("masks", [MASKS, MASKS * 255, MASKS.astype(bool), MASKS.astype(">i4")])
def test_masks_become_bytes_of_0_and_1(tmp_path: Path, masks: np.ndarray) -> None:
    found = read("arrays", written(tmp_path, masks=masks)).targets
    assert found is not None
    assert found.dtype == np.uint8
    assert np.array_equal(found, MASKS)


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_fields_become_float32(tmp_path: Path, dtype: str) -> None:
    found = read("arrays", written(tmp_path, fields=FIELDS.astype(dtype))).targets
    assert found is not None
    assert found.dtype.str in ("<f4", "=f4")
    assert np.array_equal(found, FIELDS.astype(np.float32))


def test_empty_masks_are_masks(tmp_path: Path) -> None:
    found = read("arrays", written(tmp_path, masks=np.zeros_like(MASKS))).targets
    assert found is not None
    assert not found.any()


def test_without_either_there_are_no_targets(tmp_path: Path) -> None:
    assert read("arrays", written(tmp_path)).targets is None
    np.savez(tmp_path / "d.npz", masks=MASKS)  # the only array: the examples themselves
    alone = read("arrays", tmp_path / "d.npz")
    assert np.array_equal(alone.values, MASKS)
    assert alone.targets is None


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (MASKS[:5], r"masks are uint8 of shape \(5, 4, 4\)"),
        (MASKS[:, :3], "masks are uint8 of shape"),
        (MASKS[:, None], "masks are uint8 of shape"),
        (MASKS * 2, "other numbers than 0"),
        (MASKS.astype(np.int8) * -1, "other numbers than 0"),
        (IMAGES, "other numbers than 0"),
        (MASKS.astype(np.float32), "masks of d.npz are float32"),
        (MASKS.astype("S1"), r"masks are \|S1"),
        (np.zeros((6, 0, 4), np.uint8), "holds nothing usable"),
        (np.array([object()]), "Python objects, which are never loaded"),
    ],
)
def test_masks_that_are_none_are_refused(tmp_path: Path, masks: np.ndarray, words: str) -> None:
    refused("arrays", written(tmp_path, masks=masks), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (FIELDS[:5], "fields are of shape"),
        (FIELDS[:, 0], "fields are of shape"),
        (np.full_like(FIELDS, np.nan), "fields are infinite or NaN"),
        (np.full_like(FIELDS, 1e300), "fields are infinite or NaN"),
        (FIELDS.astype(np.int64), "fields of d.npz are int64"),
        (FIELDS.astype(complex), "fields of d.npz are complex128"),
    ],
)
def test_fields_that_are_none_are_refused(tmp_path: Path, fields: np.ndarray, words: str) -> None:
    refused("arrays", written(tmp_path, fields=fields), words)


def test_masks_and_fields_together_are_refused(tmp_path: Path) -> None:
    refused("arrays", written(tmp_path, masks=MASKS, fields=FIELDS), "holds masks and fields")


def test_masks_count_for_what_an_archive_may_unpack_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, masks=MASKS)
    monkeypatch.setattr("foedus.apps.datasets._arrays.MOST_BYTES", 300)  # each alone takes 224
    refused("arrays", path, "unpacks to more than 300 bytes")


def test_tables_have_no_masks(tmp_path: Path) -> None:
    refused("arrays", written(tmp_path, images=np.ones((6, 4)), masks=np.ones((6, 4), np.uint8)), "masks are")


def test_targets_follow_their_examples_through_a_recipe(tmp_path: Path) -> None:
    home, labels = Home(tmp_path / "home"), np.array([0, 1, 0, 1, 1, 0])
    path = written(tmp_path, masks=MASKS, labels=labels)
    steps = [parse_step(text) for text in ("filter labels=1", "resize height=8 width=12", "normalise")]
    register(home, "scans", "arrays", path, steps, SplitRule(1, 0.0, 0.3))
    found = load(home, "scans")
    assert found.targets is not None
    assert found.targets.dtype == np.uint8
    assert np.array_equal(found.targets, np.kron(MASKS[labels == 1], np.ones((2, 3), np.uint8)))
    assert found.values.shape == found.targets.shape


def test_a_pixel_of_a_smaller_mask_is_inside_where_most_of_it_was(tmp_path: Path) -> None:
    masks = np.zeros((6, 4, 4), np.uint8)
    masks[:, :2, :2] = [[1, 1], [1, 0]]  # three quarters of the first new pixel
    masks[:, :2, 2:] = [[1, 1], [0, 0]]  # half of the second
    home = Home(tmp_path / "home")
    steps = [parse_step("resize height=2 width=2")]
    register(home, "scans", "arrays", written(tmp_path, masks=masks), steps, SplitRule(1, 0.0, 0.0))
    found = load(home, "scans").targets
    assert found is not None
    assert found[0].tolist() == [[1, 0], [0, 0]]

"""Data of each kind are read as they are, and whatever is wrong with them is told without harm."""

import gzip
import hashlib
import inspect
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets_tools import idx_folder, image_folder, npz_file, random_images, read, refused, write_idx
from PIL import Image

from foedus.apps.datasets.kinds import find_format
from foedus.apps.datasets.listing import fingerprint, list_files
from foedus.core.errors import InvalidData, InvalidSpec

# --- idx ---


def test_idx_files_are_read_training_first(tmp_path: Path) -> None:
    found = read("idx", idx_folder(tmp_path / "d"))
    assert np.array_equal(found.values[:20], random_images(20, seed=1))
    assert np.array_equal(found.values[20:], random_images(5, seed=2))
    assert found.labels is not None
    assert found.labels.tolist() == [*(n % 4 for n in range(20)), 0, 1, 2, 3, 0]


def test_idx_images_need_no_labels(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", random_images(3))
    assert read("idx", tmp_path).labels is None


def test_idx_labels_belong_to_their_images(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "d")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    refused("idx", folder, "t10k-labels-idx1-ubyte .* is missing")
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(4))
    refused("idx", folder, "t10k-images-idx3-ubyte has 5 images, but there are 4 labels")


def test_idx_headers_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12 + b"x")
    with pytest.raises(InvalidData, match="claims") as caught:
        read("idx", tmp_path)
    assert "mnist" not in caught.value.hint


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_idx_files_that_are_there_twice_are_refused(tmp_path: Path, name: str) -> None:
    folder = idx_folder(tmp_path / "d")
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    refused("idx", folder, f"{name} is there twice, plain and as .gz")
    (folder / name).unlink()
    assert len(read("idx", folder).values) == 25


# --- images ---


def test_pictures_get_the_number_of_their_folder(tmp_path: Path) -> None:
    found = read("images", image_folder(tmp_path, {"cat": 2, "ant": 3}))
    assert found.values.shape == (5, 6, 5)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    assert found.names == ("ant", "cat")


def test_folders_that_are_numbers_keep_them(tmp_path: Path) -> None:
    found = read("images", image_folder(tmp_path, {"9": 1, "0": 1, "6": 1}))
    assert found.labels is not None
    assert sorted(found.labels.tolist()) == [0, 6, 9]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("0", "1", "10", "2", "other"), "some labels are numbers, others are names"),
        (("0", "00", "1"), "two folders are called by the same number"),
        (("-1", "1"), "no whole numbers from 0"),
    ],
)
def test_folders_whose_numbers_would_be_guessed_are_refused(
    tmp_path: Path, folders: tuple[str, ...], words: str
) -> None:
    refused("images", image_folder(tmp_path, dict.fromkeys(folders, 1)), words)


def test_pictures_without_folders_have_no_labels(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"all": 3}) / "all"
    assert read("images", folder).labels is None


def test_one_colour_picture_makes_all_colour(tmp_path: Path) -> None:
    image_folder(tmp_path, {"a": 1, "b": 1})
    Image.new("RGB", (5, 6), (255, 0, 10)).save(tmp_path / "a" / "red.png")
    found = read("images", tmp_path)
    assert found.values.shape == (3, 3, 6, 5)
    assert found.values[1, :, 0, 0].tolist() == [255, 0, 10]
    assert (found.values[0, 0] == found.values[0, 2]).all()


def test_damaged_pictures_are_told_by_name(tmp_path: Path) -> None:
    image_folder(tmp_path, {"a": 2})
    data = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(data[: len(data) // 2])
    refused("images", tmp_path, "a/1.png is damaged")
    (tmp_path / "a" / "1.png").write_bytes(b"GIF89a...")
    refused("images", tmp_path, "a/1.png is no usable PNG or JPEG")


def test_pictures_with_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a" / "0.png")
    refused("images", tmp_path, "pixels of the kind I;16")


def test_enormous_pictures_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("1", (10_000, 8_000)).save(tmp_path / "a" / "0.png")
    refused("images", tmp_path, "10000 × 8000 pixels, more than")


def test_pictures_of_different_sizes_need_a_resize(tmp_path: Path) -> None:
    image_folder(tmp_path, {"a": 1})
    image_folder(tmp_path, {"b": 1}, (4, 4))
    with pytest.raises(InvalidData, match="different sizes") as caught:
        read("images", tmp_path)
    assert "resize" in caught.value.hint


@pytest.mark.parametrize("name", ["stray.png", "a/b/deep.png"])
def test_pictures_outside_the_folders_of_classes_are_told(tmp_path: Path, name: str) -> None:
    image_folder(tmp_path, {"a": 1})
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.new("L", (5, 6)).save(tmp_path / name)
    refused("images", tmp_path, f"{name} lies in no folder of a class")


# --- any kind ---


@pytest.mark.parametrize("kind", ["idx", "images", "arrays", "table", "frames"])
def test_an_empty_folder_is_no_dataset_of_any_kind(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read(kind, tmp_path)
    assert caught.value.hint


def test_an_unknown_kind_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidSpec) as caught:
        find_format("image")
    assert caught.value.hint == "Did you mean 'images'?"


def test_links_below_the_place_are_refused(tmp_path: Path) -> None:
    image_folder(tmp_path / "d", {"a": 1})
    (tmp_path / "outside.png").write_bytes(b"")
    (tmp_path / "d" / "a" / "x.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InvalidData, match=r"a/x\.png is a link"):
        list_files(tmp_path / "d")


def test_a_file_that_becomes_a_link_later_is_refused(tmp_path: Path) -> None:
    listing = list_files(image_folder(tmp_path / "d", {"a": 1}))
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "d" / "a" / "0.png").unlink()
    (tmp_path / "d" / "a" / "0.png").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidData, match=r"cannot read a/0\.png"):
        listing.open("a/0.png")


def test_the_place_itself_may_be_a_link(tmp_path: Path) -> None:
    npz_file(tmp_path / "d.npz")
    (tmp_path / "link").symlink_to(tmp_path / "d.npz")
    assert list_files(tmp_path / "link").path("d.npz") == tmp_path / "d.npz"


def test_folders_may_be_deeper_than_python_calls_functions(tmp_path: Path) -> None:
    place = tmp_path.joinpath(*["d"] * 300)
    place.mkdir(parents=True)
    npz_file(place / "x.npz")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        found = list_files(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert found.names == ("d/" * 300 + "x.npz",)


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InvalidData, match="neither a file nor a folder"):
        list_files(tmp_path)


def test_a_fingerprint_is_that_of_the_canonical_listing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two").write_bytes(b"22")
    (tmp_path / "one").write_bytes(b"1")
    # sha256sum of "1" and of "22"; then of this JSON text with a newline
    one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    two = "785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09"
    listed = f'[["b/two",2,"{two}"],["one",1,"{one}"]]\n'
    seen: list[tuple[int, int]] = []
    assert (
        fingerprint(list_files(tmp_path), lambda done, total: seen.append((done, total)))
        == hashlib.sha256(listed.encode()).hexdigest()
    )
    assert seen == [(2, 3), (3, 3)]


@pytest.mark.parametrize("change", ["rename", "content", "add"])
def test_any_change_of_the_files_changes_the_fingerprint(tmp_path: Path, change: str) -> None:
    folder = image_folder(tmp_path / "d", {"a": 2})
    before = fingerprint(list_files(folder))
    target = folder / "a" / "1.png"
    if change == "rename":
        target.rename(folder / "a" / "2.png")
    elif change == "content":
        target.write_bytes(target.read_bytes()[:-1] + b"!")
    else:
        (folder / "a" / "2.png").write_bytes(b"")
    assert fingerprint(list_files(folder)) != before

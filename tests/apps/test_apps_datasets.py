"""The catalogue: only metadata are kept, for their owner's eyes, and a changed source is noticed."""

import errno
import json
import os
import shutil
import stat
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_tools import idx_folder, image_folder, npz_file, random_images

from foedus.apps.datasets.catalogue import dataset_file, dataset_names, find_dataset, remove
from foedus.apps.datasets.loading import SplitRule, differences, load, register
from foedus.apps.datasets.recipe import parse_step
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec
from foedus.rounds.home import Home

STEPS = ("deduplicate", "filter labels=0,1,3", "resize height=3 width=3", "normalise")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Data of a member, at a place that must stay private."""
    folder = tmp_path / "hospital-secret-place"
    folder.mkdir()
    return npz_file(folder / "scans.npz")


def test_metadata_describe_the_examples_after_the_recipe(home: Home, source: Path) -> None:
    found = register(home, "scans", "arrays", source, [parse_step(text) for text in STEPS])

    assert (found.examples, found.shape, found.dtype) == (30, (3, 3), "float32")
    assert found.histogram == (10, 10, 0, 10)
    assert found.parts == {"train": 24, "val": 3, "test": 3}
    assert found.ranges[0] < 0 < found.ranges[1]
    assert find_dataset(home, "scans") == found
    assert [step["step"] for step in found.recipe] == ["deduplicate", "filter", "resize", "normalise"]
    assert set(found.recipe[-1]["args"]) == {"mean", "std"}  # measured when it was registered


def test_only_the_owner_can_read_the_metadata(home: Home, source: Path) -> None:
    register(home, "scans", "arrays", source)
    assert stat.S_IMODE(dataset_file(home, "scans").stat().st_mode) == 0o600
    assert stat.S_IMODE((home.root / "datasets").stat().st_mode) == 0o700
    assert [path.name for path in (home.root / "datasets").iterdir()] == ["scans.json"]


def test_nothing_is_copied(home: Home, source: Path) -> None:
    register(home, "scans", "arrays", source)
    kept = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert len(kept) < 2000
    assert random_images(40)[0].tobytes() not in kept


def test_others_see_neither_place_nor_names_nor_rows(home: Home, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "hospital-secret-place", {"patient-smith": 6, "patient-jones": 6})
    found = register(home, "my-scans", "images", folder)

    told = json.dumps(found.public_metadata())

    for private in (
        "secret",
        "smith",
        "jones",
        "png",
        "my-scans",
        found.fingerprint,
        found.id,
        str(tmp_path),
    ):
        assert private not in told
    assert found.public_metadata().keys() == {
        *(
            "kind",
            "recipe",
            "split",
            "recipe_hash",
            "examples",
            "shape",
            "dtype",
            "ranges",
            "histogram",
            "parts",
        )
    }
    assert json.loads(told)["histogram"] == [6, 6]


def test_loading_gives_the_same_arrays_each_time(home: Home, source: Path) -> None:
    register(home, "scans", "arrays", source, [parse_step(text) for text in STEPS])
    one, other = load(home, "scans"), load(home, "scans")
    assert one.values.tobytes() == other.values.tobytes()
    assert np.array_equal(one.parts, other.parts)
    assert one.labels is not None
    assert set(one.labels.tolist()) == {0, 1, 3}
    assert len(one.values) == one.dataset.examples
    for part, count in one.dataset.parts.items():
        assert len(one.rows(part)) == count
    assert len(one.rows("all")) == 30
    assert abs(float(one.values[one.rows("train")].mean())) < 1e-5


def test_the_id_is_that_of_data_and_recipe(home: Home, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "scans.npz"
    copy.parent.mkdir()
    shutil.copy(source, copy)
    step = [parse_step("resize height=2 width=2")]
    first, moved, other = (
        register(home, "a", "arrays", source, step),
        register(home, "b", "arrays", copy, step),
        register(home, "c", "arrays", source),
    )
    assert first.id == moved.id
    assert first.id != other.id
    assert first.fingerprint == other.fingerprint
    assert register(home, "d", "arrays", source, step, SplitRule(seed=2)).id != first.id


def test_a_changed_source_is_noticed(home: Home, source: Path) -> None:
    found = register(home, "scans", "arrays", source)
    assert differences(found) == ""
    npz_file(source, seed=9)  # other pixels, the same sizes
    assert differences(found) == "names or contents are not the same"
    with pytest.raises(InvalidData, match="the data of dataset 'scans' have changed: names or contents"):
        load(home, "scans")


def test_files_that_are_gone_are_noticed(home: Home, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", {"a": 3, "b": 3})
    found = register(home, "d", "images", folder)
    (folder / "a" / "2.png").unlink()
    assert differences(found) == "there are 5 files, 6 were registered"


def close_to_us(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the system refuse to look into a folder, as it does to all but root."""
    look = os.stat

    def refuse(path: Any, *args: Any, **options: Any) -> os.stat_result:  # noqa: ANN401 - as os.stat
        if isinstance(path, (str, Path)) and folder in Path(path).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path, *args, **options)

    monkeypatch.setattr(os, "stat", refuse)


@pytest.mark.parametrize("harm", ["gone", "closed", "damaged", "link", "circle"])
def test_no_error_of_loading_tells_the_place(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    folder = idx_folder(tmp_path / "secret" / "hospital-secret-place")
    register(home, "d", "idx", folder)
    victim = folder / "train-images-idx3-ubyte"
    if harm == "gone":
        shutil.rmtree(folder)
    elif harm == "closed":
        close_to_us(monkeypatch, folder.parent)
    elif harm == "circle":
        shutil.rmtree(folder)
        folder.symlink_to(folder)
    elif harm == "link":
        victim.unlink()
        victim.symlink_to("/etc/passwd")
    else:
        victim.write_bytes(victim.read_bytes()[:-3] + b"xyz")
        victim.write_bytes(b"\0" * victim.stat().st_size)

    with pytest.raises(InvalidData) as caught:
        load(home, "d")

    told = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert "hospital-secret-place" not in told
    assert "idx3" not in told
    assert "'d'" in told


def test_a_path_that_is_no_text_is_refused(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(InvalidData, match="has a name that is no text"):
        register(home, "d", "arrays", npz_file(folder / "d.npz"))


@pytest.mark.parametrize("path", ["~nobody-is-called-so/d.npz", "circle"])
def test_a_path_that_leads_nowhere_is_told(home: Home, tmp_path: Path, path: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(InvalidData, match="cannot read"):
        register(home, "d", "arrays", Path(path) if "~" in path else tmp_path / path)


def test_pictures_of_many_sizes_become_one_by_resize(home: Home, tmp_path: Path) -> None:
    image_folder(tmp_path / "d", {"a": 5})
    image_folder(tmp_path / "d", {"b": 5}, (9, 4))
    step = parse_step("resize height=4 width=4")
    assert register(home, "d", "images", tmp_path / "d", [step]).shape == (4, 4)
    assert load(home, "d").values.shape == (10, 4, 4)


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "a" * 49, "-x", "a.json"])
def test_names_are_plain(home: Home, source: Path, name: str) -> None:
    with pytest.raises(InvalidSpec, match="no name of a dataset"):
        register(home, name, "arrays", source)


def test_a_name_is_given_once_and_can_be_given_back(home: Home, source: Path) -> None:
    register(home, "scans", "arrays", source)
    with pytest.raises(InvalidSpec, match="there is a dataset 'scans' already"):
        register(home, "scans", "arrays", source)
    remove(home, "scans")
    assert dataset_names(home) == []
    assert source.exists()
    with pytest.raises(InvalidSpec, match="there is no dataset 'scans'"):
        remove(home, "scans")


def test_data_that_are_not_usable_leave_nothing_behind(home: Home, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.full((3, 2), np.nan))
    with pytest.raises(InvalidData, match="infinite or NaN"):
        register(home, "d", "arrays", tmp_path / "d.npy")
    assert dataset_names(home) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "d"}'])
def test_damaged_metadata_are_told(home: Home, source: Path, text: str) -> None:
    register(home, "d", "arrays", source)
    dataset_file(home, "d").write_text(text)
    with pytest.raises(FoedusError, match="the metadata of dataset d are damaged"):
        find_dataset(home, "d")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("examples", "x"),
        ("kind", []),
        ("path", 5),
        ("split", {"seed": 1.5, "val": 0.1, "test": 0.1}),
        ("split", {"seed": 1, "val": 0.1, "test": "0.1"}),
        ("recipe", [3]),
        ("shape", [2.5]),
        ("ranges", [1]),
        ("label_names", [1]),
        ("more", 1),
    ],
)
def test_metadata_of_wrong_types_are_damaged(home: Home, source: Path, key: str, value: object) -> None:
    register(home, "d", "arrays", source)
    file = dataset_file(home, "d")
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(FoedusError, match="the metadata of dataset d are damaged"):
        load(home, "d")


def test_a_folder_is_no_dataset(home: Home, source: Path) -> None:
    register(home, "d", "arrays", source)
    (home.root / "datasets" / "foo.json").mkdir()
    assert dataset_names(home) == ["d"]

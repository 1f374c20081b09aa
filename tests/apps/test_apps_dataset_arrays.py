"""NumPy's files are read without trust in them: whatever is wrong is told without harm."""

import io
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from datasets_tools import npz_file, random_images, read, refused

from foedus.core.errors import InvalidData


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


def npy_file(path: Path, header: str, data: bytes = b"") -> Path:
    """Write a .npy file whose header says whatever one likes."""
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)
    return path


@pytest.mark.parametrize("shape", ["(5, 0)", "(0, 4)", "(-2, 4)", "(-1, -4)", "(True, 4)", f"({'1,' * 71})"])
def test_shapes_that_hold_nothing_are_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
    refused(
        "arrays",
        npy_file(tmp_path / "d.npy", header, bytes(32)),
        "d.npy holds nothing usable: float32 of shape",
    )


def test_empty_examples_take_no_memory_however_many_there_are(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0), }\n"
    npy_file(tmp_path / "d.npy", header)
    refused("arrays", tmp_path / "d.npy", "holds nothing")


@pytest.mark.parametrize(
    ("descr", "words"),
    [
        ("'|S0'", "holds nothing"),
        ("()", "holds nothing|no usable"),
        ("[('a',)]", "no usable .npy file"),
        ("'<c8'", "values are complex64"),
        ("'<f16'", "values are float128"),
        ("[('a', '<f4')]", "they must be numbers"),
    ],
)
def test_types_that_are_no_numbers_are_refused(tmp_path: Path, descr: str, words: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2, 2), }}\n"
    size = {"'<c8'": 32, "'<f16'": 64}.get(descr, 16)
    refused("arrays", npy_file(tmp_path / "d.npy", header, bytes(size)), words)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), ( \n",
        "  {'descr'\n 1\n   2\n  'x\n",
        "(" * 9000,
        "-" * 9000 + "1",
        "{1: 2, 'a': 3}\n",
        "{'descr': '\u00e9', 'fortran_order': False, 'shape': (2, 2), }\n",
        "",
    ],
)
def test_headers_that_are_no_expressions_are_refused(tmp_path: Path, header: str) -> None:
    refused("arrays", npy_file(tmp_path / "d.npy", header, bytes(16)), "d.npy is no usable .npy file")


def test_damaged_compressed_archives_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", images=random_images(40))
    whole = (tmp_path / "d.npz").read_bytes()
    for position in range(0, len(whole), 7):
        harmed = bytearray(whole)
        harmed[position] ^= 0xFF
        (tmp_path / "d.npz").write_bytes(harmed)
        with suppress(InvalidData):  # some bytes, of dates for example, do no harm
            read("arrays", tmp_path / "d.npz")


def test_other_arrays_of_an_archive_are_left_alone(tmp_path: Path) -> None:
    images = random_images(4)
    np.savez(tmp_path / "d.npz", x=images, names=np.array(["a", "b"]), rest=np.zeros(0))
    found = read("arrays", tmp_path / "d.npz")
    assert np.array_equal(found.values, images)
    assert found.labels is None


def test_numbers_come_in_this_machines_order_of_bytes(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[1.5, -2], [3, 4]], ">f4"))
    found = read("arrays", tmp_path / "d.npy")
    assert found.values.dtype == np.float32
    assert found.values.dtype.isnative
    assert found.values.tolist() == [[1.5, -2], [3, 4]]


def test_an_archive_without_values_names_what_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=np.zeros(3), b=np.zeros(3))
    refused("arrays", tmp_path / "d.npz", "holds a, b, but no array 'images'")

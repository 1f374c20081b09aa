"""NumPy's files, never with pickled objects in them."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import numpy as np

from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import MOST_BYTES, Each, Source, Values
from foedus.core.errors import InvalidData

_INPUTS: Final = ("images", "inputs", "values", "x")
_LABELS: Final = ("labels", "y")
_MASKS, _FIELDS = "masks", "fields"
_HINT: Final = "Save it with numpy.save, or numpy.savez with the names images and labels."
_LONGEST_HEADER: Final = 10_000
_MOST_AXES: Final = 16


def pick(listing: Listing) -> Sequence[str]:
    """Return the one file."""
    found = [name for name in listing.names if name.endswith((".npy", ".npz"))]
    if not found:
        raise InvalidData("there is no .npy or .npz file", _HINT)
    if len(found) > 1:
        raise InvalidData(f"there are {len(found):,} .npy or .npz files, not one", "Name the file itself.")
    return found


def read(listing: Listing, each: Each) -> Source:
    """Read the arrays."""
    name = listing.names[0]
    with listing.open(name) as file:
        if name.endswith(".npy"):
            return Source(read_npy(file, name, listing.sizes[0]), None)
        try:
            return _read_npz(file, name)
        except InvalidData:
            raise
        except Exception as error:  # of a damaged archive: whatever zipfile and its decompressors raise
            raise InvalidData(f"{name} is no usable .npz file: {error}", _HINT) from error


def read_npy(file: BinaryIO, name: str, size_bytes: int) -> Values:
    """Read one array. Raises `InvalidData` for objects, for nothing, and when header and size disagree."""
    shape, is_fortran, dtype = _header(file, name)
    if dtype.hasobject:
        raise InvalidData(f"{name} holds Python objects, which are never loaded", _HINT)
    if not _is_filled(shape) or not dtype.itemsize:
        raise InvalidData(f"{name} holds nothing usable: {dtype} of shape {shape!r:.80}", _HINT)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > MOST_BYTES or wanted > size_bytes:
        raise InvalidData(f"{name} claims {wanted:,} bytes of numbers, more than there are or may be")
    data = file.read(wanted)
    if len(data) != wanted or file.read(1):
        raise InvalidData(f"{name} has another size than its header says")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_fortran else "C")


def _header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        return read_header(file, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # it is a Python expression: reading one raises what Python's parser does
        raise InvalidData(f"{name} is no usable .npy file: {error}", _HINT) from error


def _is_filled(shape: Sequence[object]) -> bool:
    """Whether a header's shape is that of an array with numbers in it; NumPy lets all integers pass."""
    return len(shape) <= _MOST_AXES and all(type(side) is int and side > 0 for side in shape)


def _read_npz(file: BinaryIO, name: str) -> Source:
    """Read values and labels; what else there is is left alone."""
    with zipfile.ZipFile(file) as archive:
        members = {
            one.filename.removesuffix(".npy"): one
            for one in archive.infolist()
            if one.filename.endswith(".npy")
        }
        values, labels = _one_of(members, _INPUTS), _one_of(members, _LABELS)
        if values is None and len(members) == 1:
            (values,) = members.values()
        if values is None:
            raise InvalidData(
                f"{name} holds {', '.join(sorted(members))}, but no array {_INPUTS[0]!r}", _HINT
            )
        targets = _targets(members, name)
        used = [one for one in (values, labels, targets) if one is not None]
        if sum(one.file_size for one in used) > MOST_BYTES:
            raise InvalidData(f"{name} unpacks to more than {MOST_BYTES:,} bytes")
        return Source(
            _member(archive, values, name),
            _member(archive, labels, name) if labels else None,
            targets=_read_targets(archive, targets, name) if targets else None,
        )


def _read_targets(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Values:
    """Read masks, which are whole numbers, or fields, which are floating-point numbers."""
    found, stem = _member(archive, info, name), info.filename.removesuffix(".npy")
    if (found.dtype.kind == "f") != (stem == _FIELDS):
        raise InvalidData(
            f"{stem} of {name} are {found.dtype}",
            "Save masks as whole numbers of 0 and 1, fields as floating-point numbers.",
        )
    return found


def _targets(members: Mapping[str, zipfile.ZipInfo], name: str) -> zipfile.ZipInfo | None:
    """Return the array of what a model should answer, where there is one beside the values."""
    if _MASKS in members and _FIELDS in members:
        raise InvalidData(
            f"{name} holds masks and fields: which of them a model should answer cannot be told from that",
            "Save them in two files.",
        )
    return _one_of(members, (_MASKS, _FIELDS)) if len(members) > 1 else None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Values:
    with archive.open(info) as member:
        return read_npy(member, f"{info.filename} of {name}", info.file_size)  # type: ignore[arg-type]


def _one_of(members: Mapping[str, zipfile.ZipInfo], names: Sequence[str]) -> zipfile.ZipInfo | None:
    return next((members[name] for name in names if name in members), None)

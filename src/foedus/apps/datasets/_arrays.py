"""NumPy's files, never with pickled objects in them."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

import numpy as np

from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.sources import MOST_BYTES, Each, Source, Values
from foedus.core.errors import InvalidData

_INPUTS: Final = ("images", "inputs", "values", "x")
_LABELS: Final = ("labels", "y")
_HINT: Final = "Save it with numpy.save, or numpy.savez with the names images and labels."
_LONGEST_HEADER: Final = 10_000


def pick(listing: Listing) -> Sequence[str]:
    """Return the one file."""
    found = [name for name in listing.names if name.endswith((".npy", ".npz"))]
    if len(found) != 1:
        raise InvalidData(f"there are {len(found)} files .npy or .npz, not one", "Name the file itself.")
    return found


def read(listing: Listing, each: Each) -> Source:
    """Read the arrays."""
    name = listing.names[0]
    with listing.open(name) as file:
        if name.endswith(".npy"):
            return Source(read_npy(file, name, listing.sizes[0]), None)
        members = _members(file, name)
    values = _one_of(members, _INPUTS)
    labels = _one_of(members, _LABELS)
    if values is None and len(members) == 1:
        values = next(iter(members.values()))
    if values is None:
        raise InvalidData(f"{name} holds {', '.join(sorted(members))}, but no array {_INPUTS[0]!r}", _HINT)
    return Source(values, labels)


def read_npy(file: BinaryIO, name: str, size_bytes: int) -> Values:
    """Read one array of numbers. Raises `InvalidData` for objects, and when header and size disagree."""
    try:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = header(file, max_header_size=_LONGEST_HEADER)
    except (ValueError, EOFError) as error:
        raise InvalidData(f"{name} is no usable .npy file: {error}", _HINT) from error
    if dtype.hasobject:
        raise InvalidData(f"{name} holds Python objects, which are never loaded", _HINT)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > MOST_BYTES or wanted > size_bytes:
        raise InvalidData(f"{name} claims {wanted:,} bytes of numbers, more than there are or may be")
    data = file.read(wanted)
    if len(data) != wanted or file.read(1):
        raise InvalidData(f"{name} has another size than its header says")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_fortran else "C")


def _members(file: BinaryIO, name: str) -> Mapping[str, Values]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            if sum(one.file_size for one in members) > MOST_BYTES:
                raise InvalidData(f"{name} unpacks to more than {MOST_BYTES:,} bytes")
            found = {}
            for one in members:
                with archive.open(one) as member:
                    label = f"{one.filename} of {name}"
                    found[one.filename.removesuffix(".npy")] = read_npy(member, label, one.file_size)  # type: ignore[arg-type]
            return found
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InvalidData(f"{name} is no usable .npz file: {error}", _HINT) from error


def _one_of(members: Mapping[str, Values], names: Sequence[str]) -> Values | None:
    return next((members[name] for name in names if name in members), None)

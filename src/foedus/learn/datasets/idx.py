"""Strict reading of idx files (MNIST's format), plain or gzipped; sizes are checked before memory is taken.

bytes 0-3: 0, 0, type (8 = uint8), number of axes;  then 4 bytes big-endian per axis;  then the values
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData

LIMIT_BYTES = 1 << 30
_UINT8 = 8
_ADVICE = "Fetch the file again, or let `foedus data fetch mnist` do it."


def read_idx(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """Return the array in the file. Raises `InvalidData` naming the file and what is wrong with it."""
    try:
        with _open(path) as file:
            return _parse(file, path, axes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidData(f"{path} is damaged or truncated: {error}", _ADVICE) from error
    except OSError as error:
        raise InvalidData(f"cannot read {path}: {error}", _ADVICE) from error


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _parse(file: BinaryIO, path: Path, axes: int) -> npt.NDArray[np.uint8]:
    header = file.read(4 + 4 * axes)
    if header[:4] != bytes((0, 0, _UINT8, axes)):
        raise InvalidData(
            f"{path} is no idx file of bytes with {axes} axes (it starts {header[:4]!r})", _ADVICE
        )
    if len(header) < 4 + 4 * axes:
        raise InvalidData(f"{path} is truncated inside its header", _ADVICE)
    shape = struct.unpack(f">{axes}I", header[4:])
    size = math.prod(shape)
    if size > LIMIT_BYTES:
        raise InvalidData(f"{path} claims {size:,} bytes of data, more than {LIMIT_BYTES:,}", _ADVICE)
    values = file.read(size + 1)  # one more, to notice what should not be there
    if len(values) != size:
        fault = "is truncated" if len(values) < size else "goes on after its end"
        raise InvalidData(f"{path} {fault}: its header promises {size:,} bytes of data", _ADVICE)
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)

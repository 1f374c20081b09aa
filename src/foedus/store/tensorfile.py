"""Read a model file that somebody else wrote: the header is checked completely before any tensor is read."""

import math
import os
from collections.abc import Mapping
from io import BytesIO
from typing import BinaryIO, Final

import numpy as np

from foedus.core.errors import UpdateRefused
from foedus.core.protocols import Buffer
from foedus.store.codec import DTYPES, Array, Schema, TensorSpec, parse_header

_HEADER_LIMIT_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 20


class TensorFile:
    """A canonical safetensors file, opened for reading one tensor at a time.

    With a `schema`, exactly its names, types and shapes are accepted. Every refusal is an `UpdateRefused`
    with code `header`, `keys`, `dtype`, `shape`, `size` or `nonfinite`; what the file object raises passes
    through.
    """

    def __init__(
        self, fileobj: BinaryIO, schema: Schema | None = None, size_bytes: int | None = None
    ) -> None:
        """Check header and size; `size_bytes` is the file's length, found out when not given."""
        self._file = fileobj
        size = fileobj.seek(0, os.SEEK_END) if size_bytes is None else size_bytes
        fileobj.seek(0)
        self.schema = self._read_schema(size, schema)
        self._offsets: dict[str, int] = {}
        start = size - self.schema.data_bytes
        for name, spec in self.schema.items():
            self._offsets[name] = start
            start += spec.size_bytes

    def names(self) -> tuple[str, ...]:
        """Return the tensors' names, sorted."""
        return tuple(self.schema)

    def spec(self, name: str) -> TensorSpec:
        """Return type and shape of a tensor."""
        return self.schema[name]

    def read(self, name: str) -> Array:
        """Read one tensor straight into a new array."""
        spec = self.schema[name]
        return self.read_part(name, 0, math.prod(spec.shape)).reshape(spec.shape)

    def read_part(self, name: str, start: int, stop: int) -> Array:
        """Read elements `start` to `stop` (exclusive) in C order; one-dimensional. IndexError outside."""
        spec = self.schema[name]
        dtype = DTYPES[spec.dtype]
        if not 0 <= start <= stop <= math.prod(spec.shape):
            raise IndexError(f"tensor {name!r} has no elements {start} to {stop}")
        part: Array = np.empty(stop - start, dtype)
        self._file.seek(self._offsets[name] + start * dtype.itemsize)
        self._fill(part.view(np.uint8).data, name)
        return part

    def read_all(self) -> dict[str, Array]:
        """Read all tensors, in the order of their names."""
        return {name: self.read(name) for name in self.schema}

    def check_finite(self) -> None:
        """Read all floating-point tensors block by block and refuse NaN and infinities (code `nonfinite`)."""
        scratch = np.empty(_BLOCK_BYTES, np.uint8)
        for name, spec in self.schema.items():
            if not spec.dtype.startswith("F"):
                continue
            self._file.seek(self._offsets[name])
            for start in range(0, spec.size_bytes, _BLOCK_BYTES):
                block = scratch[: min(_BLOCK_BYTES, spec.size_bytes - start)]
                self._fill(block.data, name)
                require_finite(name, block.view(DTYPES[spec.dtype]))

    def _read_schema(self, size: int, wanted: Schema | None) -> Schema:
        limit = _HEADER_LIMIT_BYTES if wanted is None else 2 * len(wanted.header()) + 1024
        length = int.from_bytes(self._exactly(8, "length of its header"), "little")
        if length > limit or length % 8 or 8 + length > size:
            raise UpdateRefused("header", f"a header of {length} bytes is impossible (limit {limit})")
        schema = parse_header(self._exactly(length, "header"))
        if wanted is not None:
            _compare(schema, wanted)
        expected = 8 + length + schema.data_bytes
        if size != expected:
            raise UpdateRefused("size", f"the file has {size:,} bytes, its header speaks of {expected:,}")
        return schema

    def _exactly(self, count: int, what: str) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise UpdateRefused("header", f"the file ends inside the {what}")
        return data

    def _fill(self, out: memoryview, name: str) -> None:
        done = 0
        while done < len(out):
            count = self._file.readinto(out[done:])  # type: ignore[attr-defined]  # not in its stubs
            if not count:
                raise UpdateRefused("size", f"the file ends inside tensor {name!r}")
            done += count
        if self.schema[name].dtype == "BOOL" and np.frombuffer(out, np.uint8).max(initial=0) > 1:
            raise UpdateRefused("dtype", f"tensor {name!r} has values other than false and true")


def require_finite(name: str, array: Array) -> None:
    """Refuse (code `nonfinite`) a tensor with NaN or infinities; for arrays that are in memory already."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UpdateRefused("nonfinite", f"tensor {name!r} has values that are not finite")


def decode(data: Buffer, schema: Schema | None = None) -> Mapping[str, Array]:
    """Read all tensors of a canonical file in memory. Raises `UpdateRefused`."""
    return TensorFile(BytesIO(data), schema).read_all()


def _compare(found: Schema, wanted: Schema) -> None:
    """Refuse a schema that is not the project's."""
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())
        raise UpdateRefused("keys", f"{len(odd)} missing or unknown tensors, the first is {odd[0][:80]!r}")
    for name, spec in wanted.items():
        if found[name].dtype != spec.dtype:
            raise UpdateRefused("dtype", f"tensor {name!r} is {found[name].dtype} instead of {spec.dtype}")
        if found[name].shape != spec.shape:
            raise UpdateRefused(
                "shape", f"tensor {name!r} has shape {found[name].shape} instead of {spec.shape}"
            )

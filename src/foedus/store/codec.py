"""Models as canonical safetensors: one set of tensors has exactly one file, hence one CID.

Canonical means: names sorted, no metadata, header as compact JSON with sorted keys padded with spaces to
eight bytes, little-endian, C order, tensors in the order of their names without holes. The `safetensors`
library reads such files, but writes others (its order is not stable) and accepts too much; so writing and
checking are own code.
"""

import json
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import UnsupportedModel, UpdateRefused
from foedus.core.protocols import Buffer

Array = npt.NDArray[Any]

DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "F64": np.dtype("<f8"),
        "F32": np.dtype("<f4"),
        "F16": np.dtype("<f2"),
        "I64": np.dtype("<i8"),
        "I32": np.dtype("<i4"),
        "I16": np.dtype("<i2"),
        "I8": np.dtype("i1"),
        "U8": np.dtype("u1"),
        "BOOL": np.dtype("?"),
    }
)
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_ADDRESSABLE: Final = (1 << 63) - 1  # NumPy refuses shapes beyond, even of empty tensors
_MAX_DIMENSIONS: Final = 32
_METADATA: Final = "__metadata__"  # the one name that safetensors keeps for itself


class TensorSpec(NamedTuple):
    """Type and shape of one tensor; `dtype` as safetensors calls it, e.g. `F32`."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """The length of the tensor's data."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


class Schema(Mapping[str, TensorSpec]):
    """Names, types and shapes of a model's tensors, in the order of the names. Immutable."""

    def __init__(self, specs: Mapping[str, TensorSpec]) -> None:
        self._specs = dict(sorted(specs.items()))

    @classmethod
    def of(cls, tensors: Mapping[str, Array]) -> "Schema":
        """Return the schema of these tensors. Raises `UnsupportedModel` for types that cannot be stored."""
        return cls(
            {name: TensorSpec(_dtype_name(name, array), array.shape) for name, array in tensors.items()}
        )

    def __getitem__(self, name: str) -> TensorSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        return f"Schema({self._specs!r})"

    @property
    def data_bytes(self) -> int:
        """The length of all tensors' data."""
        return sum(spec.size_bytes for spec in self._specs.values())

    def header(self) -> bytes:
        """Return how a file of this schema starts: length and JSON, up to the first tensor."""
        entries: dict[str, Json] = {}
        start = 0
        for name, spec in self._specs.items():
            end = start + spec.size_bytes
            entries[name] = {"data_offsets": [start, end], "dtype": spec.dtype, "shape": spec.shape}
            start = end
        text = canonical_json(entries).rstrip(b"\n")
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def encode(tensors: Mapping[str, Array]) -> list[Buffer]:
    """Return the canonical file as buffers to be concatenated; they view the tensors instead of copying them.

    Only tensors that are not C-contiguous and little-endian are copied. Raises `UnsupportedModel`.
    """
    schema = Schema.of(tensors)
    if _METADATA in schema:
        raise UnsupportedModel(f"a tensor cannot be called {_METADATA}", "Rename the layer.")
    return [schema.header(), *(_data(tensors[name], spec) for name, spec in schema.items())]


def parse_header(text: bytes) -> Schema:
    """Return the schema that the JSON of a canonical header (without its length) describes.

    Raises `UpdateRefused` for whatever `Schema.header` would not have written.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise UpdateRefused("header", f"the header is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UpdateRefused("header", "the header is not a JSON object")
    schema = Schema({name: _parse_spec(name, entry) for name, entry in value.items()})
    if _METADATA in schema or not _is_header(schema, text):
        raise UpdateRefused("header", "the header is not in canonical form")
    return schema


def _is_header(schema: Schema, text: bytes) -> bool:
    try:
        return schema.header()[8:] == text
    except UnicodeEncodeError:  # JSON can spell half a character, UTF-8 cannot
        return False


def _data(array: Array, spec: TensorSpec) -> memoryview:
    flat = np.asarray(array, dtype=DTYPES[spec.dtype], order="C").reshape(-1)
    return flat.view(np.uint8).data


def _dtype_name(name: str, array: Array) -> str:
    try:
        return _NAMES[array.dtype.newbyteorder("<")]
    except KeyError:
        raise UnsupportedModel(
            f"tensor {name!r} has type {array.dtype}, which cannot be stored",
            f"Use one of {', '.join(DTYPES)}.",
        ) from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key occurs twice")
    return entries


def _parse_spec(name: str, entry: object) -> TensorSpec:
    """Check types and ranges of one tensor's entry; offsets are compared with the whole header."""
    if not isinstance(entry, dict) or entry.keys() != {"data_offsets", "dtype", "shape"}:
        raise UpdateRefused("header", f"entry {name[:80]!r} is not a tensor's")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UpdateRefused(
            "dtype", f"tensor {name[:80]!r} has type {str(dtype)[:20]!r}", f"Known: {', '.join(DTYPES)}."
        )
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(type(n) is int for n in shape):
        raise UpdateRefused("shape", f"the shape of tensor {name[:80]!r} is not a short list of integers")
    if min(shape, default=0) < 0 or math.prod(n or 1 for n in shape) * DTYPES[dtype].itemsize > _ADDRESSABLE:
        raise UpdateRefused("shape", f"the shape of tensor {name[:80]!r} is impossible")
    return TensorSpec(dtype, tuple(shape))

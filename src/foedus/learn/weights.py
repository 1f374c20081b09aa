"""Model weights as NumPy arrays, where they come from, and which part of a model each tensor belongs to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.core.errors import UnsupportedModel

Array: TypeAlias = npt.NDArray[np.generic]

Weights: TypeAlias = Mapping[str, Array]
"""Tensors of a model by name; the names and shapes are those of the PyTorch state dict."""

Spec: TypeAlias = tuple[str, tuple[int, ...]]
"""Data type (as safetensors spells it: `F32`, `I64`, `BOOL` …) and shape of a tensor."""

Specs: TypeAlias = Mapping[str, Spec]

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_NAMES: dict[object, str] = {np.dtype(kind): name for name, kind in _DTYPES.items()}


class TensorSource(Protocol):
    """Where one model's tensors are read from, one at a time, so that no model must fit in memory."""

    def names(self) -> Sequence[str]:
        """Return the names of all tensors."""

    def spec(self, name: str) -> Spec:
        """Return data type and shape of a tensor, without reading it."""

    def read(self, name: str) -> Array:
        """Return one tensor. Callers never write to it."""

    def read_part(self, name: str, start: int, stop: int) -> Array:
        """Return elements `start` to `stop` (exclusive) of a tensor in C order, one-dimensional."""


@dataclass(frozen=True, slots=True)
class MemorySource:
    """A `TensorSource` over weights that are in memory already."""

    weights: Weights

    def names(self) -> Sequence[str]:
        """Return the names of all tensors."""
        return list(self.weights)

    def spec(self, name: str) -> Spec:
        """Return data type and shape. Raises `UnsupportedModel` for a type that files cannot carry."""
        array = self.weights[name]
        return dtype_name(array.dtype), array.shape

    def read(self, name: str) -> Array:
        """Return the tensor itself, not a copy."""
        return self.weights[name]

    def read_part(self, name: str, start: int, stop: int) -> Array:
        """Return elements of the tensor itself, where it is contiguous."""
        return self.weights[name].reshape(-1)[start:stop]


EXAMPLES = "@examples"
"""In an update of several clients: how many examples are behind each row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One client's `TensorSource` in an update that holds those of several, stacked along the first axis."""

    stacked: TensorSource
    index: int

    def names(self) -> Sequence[str]:
        """Return the names of the client's own tensors."""
        return [name for name in self.stacked.names() if name != EXAMPLES]

    def spec(self, name: str) -> Spec:
        """Return data type and shape of one row."""
        dtype, shape = self.stacked.spec(name)
        return dtype, tuple(shape[1:])

    def read(self, name: str) -> Array:
        """Return one row."""
        shape = self.spec(name)[1]
        return self.read_part(name, 0, math.prod(shape)).reshape(shape)

    def read_part(self, name: str, start: int, stop: int) -> Array:
        """Return elements of one row."""
        first = self.index * math.prod(self.spec(name)[1])
        return self.stacked.read_part(name, first + start, first + stop)


SHARED = "@shared"
"""In an update: how many of its examples the project shares with everybody, as an array of one number."""


@dataclass(frozen=True, slots=True)
class Without:
    """A `TensorSource` that does not show one of its tensors."""

    source: TensorSource
    hidden: str

    def names(self) -> Sequence[str]:
        """Return the names of the other tensors."""
        return [name for name in self.source.names() if name != self.hidden]

    def spec(self, name: str) -> Spec:
        """Return data type and shape."""
        return self.source.spec(name)

    def read(self, name: str) -> Array:
        """Return one tensor."""
        return self.source.read(name)

    def read_part(self, name: str, start: int, stop: int) -> Array:
        """Return elements of one tensor."""
        return self.source.read_part(name, start, stop)


def stacked_specs(specs: Specs, rows: int) -> dict[str, Spec]:
    """Return what an update of `rows` clients has, whose own updates have these tensors."""
    stacked = {name: (dtype, (rows, *shape)) for name, (dtype, shape) in specs.items()}
    return {**stacked, EXAMPLES: ("I64", (rows,))}


@dataclass(frozen=True, slots=True)
class Parts:
    """The names of a model's tensors by the rule that applies to them (ALGORITHMS §0)."""

    trainable: tuple[str, ...]  # P: float parameters; what the algorithm works on
    frozen: tuple[str, ...] = ()  # Z: parameters without gradient; equal to the server's on every client
    float_buffers: tuple[str, ...] = ()  # FB: running statistics; averaged
    other_buffers: tuple[str, ...] = ()  # IB: counters (maximum) and masks (the server's)
    local: tuple[str, ...] = ()  # never leave the client (FedBN); in none of the others


def specs_of(weights: Weights) -> dict[str, Spec]:
    """Return type and shape of every tensor. Raises `UnsupportedModel` for types that files cannot carry."""
    return {name: (dtype_name(array.dtype), array.shape) for name, array in sorted(weights.items())}


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """Return how safetensors spells a data type. Raises `UnsupportedModel` when it is none of ours."""
    try:
        return _NAMES[dtype]
    except KeyError:
        raise UnsupportedModel(f"tensors of type {dtype} are not supported", "Use float32.") from None

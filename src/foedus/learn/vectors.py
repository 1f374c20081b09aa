"""What clients moved: updates as long vectors that are read block by block, in float64.

Everything here is element-wise or summed in one fixed order, so every member computes the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.learn.weights import Array, TensorSource, Weights

Block: TypeAlias = npt.NDArray[np.float64]

BLOCK = 1 << 16  # elements that are worked on at once: a few blocks fit into a processor's cache


Step: TypeAlias = Callable[[str, int, int], Block]
"""What to add to elements `start` to `stop` of a tensor."""


class Vector(Protocol):
    """One client's direction, as tensors by name."""

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return elements `start` to `stop` (exclusive) of a tensor in C order, as a new float64 array."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a client went from the server's weights, times `scale`:  scale · (θ_k − θ)."""

    source: TensorSource
    server: Weights
    scale: float = 1.0

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the difference; the subtraction is exact to float64."""
        moved = self.source.read_part(name, start, stop).astype(np.float64)
        moved -= self.server[name].reshape(-1)[start:stop].astype(np.float64)
        if self.scale != 1.0:
            moved *= self.scale
        return moved


@dataclass(frozen=True, slots=True)
class Direct:
    """The update's tensors as they are, e.g. gradients, times `scale`."""

    source: TensorSource
    scale: float = 1.0

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a part of the tensor."""
        values = self.source.read_part(name, start, stop).astype(np.float64)
        if self.scale != 1.0:
            values *= self.scale
        return values


@dataclass(frozen=True, slots=True)
class Known:
    """A vector that is in memory."""

    tensors: Mapping[str, Block]

    def block(self, name: str, start: int, stop: int) -> Block:
        """Return a copy of a part of the tensor."""
        return self.tensors[name][start:stop].copy()


def weighted_sum(
    vectors: Sequence[Vector], weights: Sequence[float], name: str, start: int, stop: int
) -> Block:
    """Return Σ_k w_k v_k of one block, in the order given, each product rounded before it is added."""
    total = np.full(stop - start, -0.0)  # the zero to which adding anything, even -0.0, gives that very thing
    for vector, weight in zip(vectors, weights, strict=True):
        total += vector.block(name, start, stop) * weight
    return total


def moved(server: Weights, names: Iterable[str], step: Step) -> dict[str, Array]:
    """Return θ + step for these tensors, in their type. Beyond the type's range it is infinite."""
    return {name: filled(server[name], server[name].dtype, _from(server[name], name, step)) for name in names}


def filled(like: Array, dtype: np.dtype[np.generic], values: Callable[[int, int], Block]) -> Array:
    """Return a new tensor of this shape and type from the values of its elements `start` to `stop`."""
    flat = np.empty(like.size, dtype)
    with np.errstate(over="ignore"):
        for start in range(0, flat.size, BLOCK):
            stop = min(start + BLOCK, flat.size)
            flat[start:stop] = values(start, stop)
    return flat.reshape(like.shape)


def _from(old: Array, name: str, step: Step) -> Callable[[int, int], Block]:
    flat = old.reshape(-1)

    def values(start: int, stop: int) -> Block:
        block = step(name, start, stop)
        block += flat[start:stop].astype(np.float64)
        return block

    return values

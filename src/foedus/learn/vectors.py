"""What clients moved: updates as long vectors that are read block by block, in float64.

Everything here is element-wise or summed in one fixed order, so every member computes the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.learn.weights import TensorSource, Weights

Block: TypeAlias = npt.NDArray[np.float64]

BLOCK = 1 << 16  # elements that are worked on at once: a few blocks fit into a processor's cache


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


def weighted_sum(
    vectors: Sequence[Vector], weights: Sequence[float], name: str, start: int, stop: int
) -> Block:
    """Return Σ_k w_k v_k of one block, in the order given, each product rounded before it is added."""
    total = np.full(stop - start, -0.0)  # the zero to which adding anything, even -0.0, gives that very thing
    for vector, weight in zip(vectors, weights, strict=True):
        total += vector.block(name, start, stop) * weight
    return total

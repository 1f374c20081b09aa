"""Vectors in memory for the tests of robust rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from foedus.learn.robust import RobustRule, combine

ALL = [
    RobustRule("mean", clip=2.0),
    RobustRule("mean", 1, mix=True),
    RobustRule("median", 1),
    RobustRule("trimmed-mean", 1),
    RobustRule("krum", 1),
    RobustRule("multi-krum", 1),
    RobustRule("geometric-median", 1),
    RobustRule("centred-clipping", 1),
    RobustRule("median", 1, mix=True),
    RobustRule("trimmed-mean", 1, clip=1.5, mix=True),
    RobustRule("krum", 1, clip=1.5, mix=True),
    RobustRule("multi-krum", 1, mix=True),
    RobustRule("geometric-median", 1, clip=3.0, mix=True),
    RobustRule("centred-clipping", 1, mix=True),
]
"""Every rule alone, and mixtures; f = 1."""


def title(rule: RobustRule) -> str:
    """Name a parametrised test's rule."""
    return "-".join([f"clip{rule.clip:g}"] * bool(rule.clip) + ["mix"] * rule.mix + [rule.rule])


@dataclass
class Memory:
    """A vector in memory that counts how many elements were read."""

    tensors: Mapping[str, npt.NDArray[np.float64]]
    read: int = 0

    def block(self, name: str, start: int, stop: int) -> npt.NDArray[np.float64]:
        self.read += stop - start
        return self.tensors[name][start:stop].astype(np.float64)


def centre(
    rows: Sequence[Sequence[float]] | npt.NDArray[np.float64],
    rule: RobustRule,
    weights: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """Combine vectors that have a single tensor."""
    vectors = [Memory({"w": np.asarray(row, dtype=np.float64)}) for row in rows]
    shapes = {"w": len(rows[0])}
    return combine(vectors, weights or [1.0] * len(rows), shapes, ["w"], rule)["w"]


def clouds(least: int = 5, most: int = 9) -> st.SearchStrategy[npt.NDArray[np.float64]]:
    """Generic updates: (clients, 6), no two at equal distance."""
    return st.tuples(st.integers(least, most), st.integers(0, 2**32 - 1)).map(
        lambda drawn: np.random.default_rng(drawn[1]).normal(size=(drawn[0], 6))
    )

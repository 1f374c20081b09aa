"""FPHL, the first half of FedHEAL: which elements of an update point where the client's earlier ones did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.learn.vectors import BLOCK, Block, Vector
from foedus.learn.weights import Array, Weights

MOST_ROUNDS = 32766  # that counts of 16 bits can tell apart, also when one is added

_Counts: TypeAlias = npt.NDArray[np.int16]
_Bits: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class History:
    """A client's earlier updates: in how many of its `rounds` an element had u = θ − θ_k ≥ 0."""

    counts: Weights  # int16, by the trainable tensors' names; none in the first round
    rounds: int = 0

    def shortened(self) -> "History":
        """Return the history with half its rounds once 16 bits are used up; shares stay as they were."""
        if self.rounds < MOST_ROUNDS:
            return self
        halves = {name: (counts.astype(np.int16) >> 1) for name, counts in self.counts.items()}
        return History(halves, self.rounds // 2)


class Observation:
    """One client's update against its history. Let it `see` every block before asking it anything."""

    def __init__(self, vector: Vector, history: History, tau: float) -> None:
        self._vector, self._history = vector, history.shortened()
        self._rounds = self._history.rounds
        # An element is kept when strictly more than tau of the history agree. In whole numbers, so that
        # 3 of 10 are not more than 0.3.
        self._limit = max(math.floor(tau * self._rounds + 1e-9), -1)
        self._counts: dict[str, Array] = {}
        self._kept: dict[tuple[str, int], _Bits] = {}
        self._squares: dict[str, list[float]] = {}
        self._kept_squares: dict[str, list[float]] = {}

    def see(self, name: str, like: Array, start: int, stop: int) -> None:
        """Take in elements `start` to `stop` of a tensor that is shaped like `like`."""
        move = self._vector.block(name, start, stop)  # −u
        is_nonnegative = move <= 0
        move *= move
        self._squares.setdefault(name, []).append(float(np.sum(move)))
        new = self._counts.setdefault(name, np.empty(like.shape, np.int16)).reshape(-1)[start:stop]
        if not self._rounds:
            new[:] = is_nonnegative
            return
        counts: _Counts = self._history.counts[name].reshape(-1)[start:stop].astype(np.int16, copy=False)
        np.add(counts, is_nonnegative, out=new)
        kept = self._agreeing(counts, is_nonnegative)
        self._kept[name, start] = np.packbits(kept)
        move *= kept.astype(np.float64)  # converting first is faster than a product of mixed types
        self._kept_squares.setdefault(name, []).append(float(np.sum(move)))

    def _agreeing(self, counts: _Counts, is_nonnegative: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        if_positive, kept = counts > self._limit, counts < self._rounds - self._limit
        if_positive ^= kept
        if_positive &= is_nonnegative
        kept ^= if_positive  # if u ≥ 0 the one, else the other
        return kept

    @property
    def history(self) -> History:
        """What to remember: the history and this update."""
        return History(self._counts, self._rounds + 1)

    @property
    def length(self) -> float:
        """‖u‖₂ over all tensors."""
        return math.sqrt(math.fsum(math.fsum(sums) for sums in self._squares.values()))

    @property
    def distance(self) -> float:
        """The SUM over tensors of ‖M ⊙ u‖₂."""
        kept = self._kept_squares if self._rounds else self._squares
        return math.fsum(math.sqrt(math.fsum(sums)) for sums in kept.values())

    def add_to(self, moves: Block, shares: Block, factor: float, scale: float, name: str, start: int) -> None:
        """Add factor · M ⊙ scale · (θ_k − θ) to `moves` and factor · M to `shares`."""
        size = moves.size
        move = self._vector.block(name, start, start + size)
        if scale != 1:
            move *= scale
        if self._rounds:
            share = np.unpackbits(self._kept[name, start], count=size).astype(np.float64)
            share *= factor
            shares += share
            move *= share
        else:
            shares += factor
            move *= factor
        moves += move


def masked_mean(
    observations: Sequence[Observation],
    factors: Sequence[float],
    scales: Sequence[float],
    name: str,
    start: int,
    stop: int,
) -> Block:
    """Return Σ q M Δ / Σ q M of one block; 0 where nobody's update is kept."""
    moves, shares = np.zeros(stop - start), np.zeros(stop - start)
    for observation, factor, scale in zip(observations, factors, scales, strict=True):
        observation.add_to(moves, shares, factor, scale, name, start)
    shares[shares == 0] = 1
    moves /= shares
    return moves


def see_all(observations: Sequence[Observation], server: Weights, names: Sequence[str]) -> None:
    """Let all clients' observations see all tensors, a block of everybody at a time."""
    for name in names:
        like = server[name]
        for start in range(0, like.size, BLOCK):
            for observation in observations:
                observation.see(name, like, start, min(start + BLOCK, like.size))

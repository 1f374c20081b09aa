"""Coordinate-wise median and trimmed mean.

Yin, Chen, Ramchandran, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates.
ICML 2018, https://arxiv.org/abs/1803.01498 (definitions 1 and 2).

    median:        c[x] = median_k v_k[x],  for even n the mean of the two in the middle
    trimmed mean:  c[x] = 1/(n − 2f) · Σ_{k=f+1}^{n−f} v_(k)[x],  v_(k) the k-th smallest of coordinate x

Up to (n−1)/2, or f, hostile clients cannot move a coordinate out of the range of the honest ones. Clients are
sorted by a network of minima and maxima over whole blocks (Batcher's odd-even merge sort, Knuth 5.3.4): for a
few clients that is several times faster than sorting each coordinate, and uses no comparison whose outcome
depends on the instruction set. Zeros come out without sign.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from foedus.learn.vectors import Block

Network: TypeAlias = Sequence[tuple[int, int, bool, bool]]
"""Pairs of rows to put in order, and whether the smaller and the larger value are of use later."""


def median_network(count: int) -> Network:
    """Return the network that puts the middle of `count` rows in its place."""
    return _pruned(_batcher(count), {(count - 1) // 2, count // 2})


def trimming_network(count: int, dropped: int) -> Network:
    """Return the network that sorts all rows but the `dropped` at each end."""
    return _pruned(_batcher(count), set(range(dropped, count - dropped)))


def median(rows: list[Block], network: Network) -> Block:
    """Return the median of each coordinate. The rows are overwritten."""
    _sort(rows, network)
    low, high = rows[(len(rows) - 1) // 2], rows[len(rows) // 2]
    return (
        low * 0.5 + high * 0.5 + 0.0
    )  # halved before they are added: the sum cannot overflow; -0.0 becomes 0.0


def trimmed_mean(rows: list[Block], network: Network, dropped: int) -> Block:
    """Return the mean of each coordinate without the `dropped` at each end. The rows are overwritten.

    It is never outside the values that it is the mean of, not even by rounding.
    """
    _sort(rows, network)
    kept = rows[dropped : len(rows) - dropped]
    total = np.zeros_like(kept[0])
    for row in kept:
        total += row
    total /= len(kept)
    return np.minimum(np.maximum(total, kept[0]), kept[-1]) + 0.0


def _sort(rows: list[Block], network: Network) -> None:
    spare = np.empty_like(rows[0])
    for low, high, needs_low, needs_high in network:
        if needs_low and needs_high:
            np.minimum(rows[low], rows[high], out=spare)
            np.maximum(rows[low], rows[high], out=rows[high])
            rows[low], spare = spare, rows[low]
        elif needs_low:
            np.minimum(rows[low], rows[high], out=rows[low])
        else:
            np.maximum(rows[low], rows[high], out=rows[high])


def _batcher(count: int) -> Iterator[tuple[int, int]]:
    """Yield the comparisons of Batcher's odd-even merge sort, smaller value first."""
    run = 1
    while run < count:
        gap = run
        while gap:
            for start in range(gap % run, count - gap, 2 * gap):
                for low in range(start, min(start + gap, count - gap)):
                    if low // (2 * run) == (low + gap) // (2 * run):
                        yield low, low + gap
            gap //= 2
        run *= 2


def _pruned(pairs: Iterator[tuple[int, int]], needed: Collection[int]) -> Network:
    """Leave out, from the end, what has no effect on the needed rows."""
    wanted, kept = set(needed), []
    for low, high in reversed(list(pairs)):
        if low in wanted or high in wanted:
            kept.append((low, high, low in wanted, high in wanted))
            wanted |= {low, high}
    return kept[::-1]

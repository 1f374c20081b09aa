"""Training, validation and test examples, chosen by content: equal examples never fall to different parts."""

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData, InvalidSpec

PARTS: Final = ("train", "val", "test")

_DIGEST_BYTES: Final = 16


def digests(values: npt.NDArray[Any], salt: bytes = b"") -> npt.NDArray[np.bytes_]:
    """Return a hash of each example's content, shape and type: (N,) of 16 bytes, written in hex."""
    head = salt + f"{values.dtype.str}{values.shape[1:]}".encode()
    rows = (_digest(head, values[index].tobytes()) for index in range(len(values)))
    return np.fromiter(rows, dtype=f"S{2 * _DIGEST_BYTES}", count=len(values))


def split_parts(
    values: npt.NDArray[Any], labels: npt.NDArray[np.int64] | None, seed: int, val: float, test: float
) -> npt.NDArray[np.uint8]:
    """Return the part of each example, as its index in `PARTS`: (N,).

    Each label's examples are divided in the wanted shares, as far as whole examples allow; what is then
    missing, or too much, is made up for with the next label, and each label keeps something to train on.
    What part an example falls to depends on the contents alone and not on their order. Raises `InvalidData`
    when nothing is left to train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise InvalidSpec(f"shares val = {val:g} and test = {test:g} must be at least 0 and below 1 together")
    found, group = np.unique(digests(values, f"{seed}\x1f".encode()), return_inverse=True)
    sizes = np.bincount(group, minlength=len(found))
    strata = np.zeros(len(found), dtype=np.int64)
    if labels is not None:  # of equal examples with different labels the smallest label counts
        strata = np.full(len(found), np.iinfo(np.int64).max)
        np.minimum.at(strata, group, labels)
    parts = np.zeros(len(found), dtype=np.uint8)
    to_test = to_val = 0.0  # examples still to be given to these parts
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)  # in the order of their hashes, so drawn by the seed
        counts = sizes[members]
        before = np.cumsum(counts) - counts
        to_test, to_val = to_test + counts.sum() * test, to_val + counts.sum() * val
        until_test = max(0, round(to_test))
        until_val = until_test + max(0, round(to_val))
        drawn = np.where(before < until_test, 2, np.where(before < until_val, 1, 0))
        if labels is not None:
            drawn[-1] = 0
        to_test, to_val = to_test - counts[drawn == 2].sum(), to_val - counts[drawn == 1].sum()
        parts[members] = drawn
    chosen = parts[group]
    if not (chosen == 0).any():
        raise InvalidData(
            "no example is left to train on", "Use more examples, or smaller val and test shares."
        )
    return np.asarray(chosen, dtype=np.uint8)


def _digest(head: bytes, content: bytes) -> bytes:
    return (
        hashlib.blake2b(content, digest_size=_DIGEST_BYTES, key=hashlib.sha256(head).digest())
        .hexdigest()
        .encode()
    )

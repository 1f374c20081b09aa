"""Dot products and logarithms that have the same bits on every machine, at the speed of its linear algebra.

A library may add the terms of a dot product in any order and fuse multiplications with additions, and its
logarithm may differ in the last bit. Matching compares such numbers, so one bit could turn into another
model. Hence:

    a = 2^(e-40) (2^20 h + l)    rounded to 40 bits relative to the largest value of its row;
                                 integers |h| ≤ 2^20, |l| ≤ 2^19
    Σ a b                        from Σ h h', Σ h l' + Σ l h', Σ l l': integers up to 2^53, exact in any order

and logarithms are computed in decimal and rounded once.
"""

import decimal
import functools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.float64]

_BITS = 20  # of each of the two parts of a number
_CHUNK = 1 << (53 - 2 * _BITS)  # columns whose products of 40 bits are added exactly in float64
_SUM_BLOCK = 1024  # elements that NumPy adds in its own order, which is the same everywhere
_LARGEST = 2.0**200
_LOG = decimal.Context(prec=40)


def products(left: Rows, right: Rows) -> Rows:
    """Return the dot product of every row of `left` (L, D) with every row of `right` (G, D): (L, G).

    The operands must be finite. Each is rounded to 2^-40 of the largest value of its row, so a result is off
    by at most D · 2^-39 times the largest value of either row; what follows the rounding is as exact as
    float64.
    """
    high_left, low_left, exponents_left = _split(left)
    high_right, low_right, exponents_right = _split(right)
    total = np.zeros((len(left), len(right)))
    for start in range(0, left.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        high, low = high_left[:, part], low_left[:, part]
        other_high, other_low = high_right[:, part].T, low_right[:, part].T
        middle = high @ other_low + low @ other_high
        total += (high @ other_high) * 2.0 ** (2 * _BITS) + (middle * 2.0**_BITS + low @ other_low)
    scaled: Rows = np.ldexp(total, exponents_left[:, None] + exponents_right[None, :] - 4 * _BITS)
    return scaled


def squared_norms(rows: Rows) -> Rows:
    """Return Σ_d r² of every row, in one fixed order: shape (L, D) to (L,)."""
    total = np.zeros(len(rows))
    for start in range(0, rows.shape[1], _SUM_BLOCK):
        part = np.ascontiguousarray(rows[:, start : start + _SUM_BLOCK])
        total += np.add.reduce(part * part, axis=1)
    return total


def bounded(values: Rows) -> Rows:
    """Return values between ±2^200, so that nothing a client sends overflows when squared."""
    clipped: Rows = np.clip(values, -_LARGEST, _LARGEST)
    return clipped


@functools.lru_cache(maxsize=1 << 14)
def log_ratio(numerator: float, denominator: float) -> float:
    """Return the natural logarithm of the ratio of two positive numbers, correctly rounded."""
    ratio = _LOG.divide(decimal.Decimal(numerator), decimal.Decimal(denominator))
    return float(_LOG.ln(ratio))


def _split(rows: Rows) -> tuple[Rows, Rows, npt.NDArray[np.int64]]:
    """Return h, l and e of every row: integers as float64, and the exponent of the row."""
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    exponents = np.frexp(largest)[1].astype(np.int64)  # largest < 2^e
    integers = np.rint(np.ldexp(rows, 2 * _BITS - exponents[:, None]))
    high = np.rint(integers * 2.0**-_BITS)
    return high, integers - high * 2.0**_BITS, exponents

"""Dot products and logarithms with the same bits everywhere."""

import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.learn.matching.exact import bounded, log_ratio, products, squared_norms


def rows(seed: int, count: int, dimensions: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, dimensions)) * scale * 10.0 ** random.integers(-3, 3, (count, 1))


def exactly(left: np.ndarray, right: np.ndarray) -> Fraction:
    return sum((Fraction(a) * Fraction(b) for a, b in zip(left, right, strict=True)), Fraction(0))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-200, 1e150])
def test_products_are_off_by_no_more_than_is_said(scale: float) -> None:
    left, right = rows(0, 4, 50, scale), rows(1, 3, 50)
    found = products(left, right)
    for i, j in np.ndindex(found.shape):
        limit = 50 * 2.0**-39 * np.abs(left[i]).max() * np.abs(right[j]).max()
        assert abs(Fraction(found[i, j]) - exactly(left[i], right[j])) <= limit


def test_products_of_short_numbers_are_exact() -> None:
    random = np.random.default_rng(2)
    left, right = (random.integers(-(2**20), 2**20, (3, 300)).astype(np.float64) for _ in range(2))
    expected = [[float(exactly(a, b)) for b in right] for a in left]
    assert (products(left, right) == expected).all()


def test_numbers_of_forty_bits_are_multiplied_whole() -> None:
    a, b = 2**40 - 2**19 + 1, 2**40 - 2**18 - 1
    found = products(np.array([[float(a)]]), np.array([[float(b)]]))[0, 0]
    assert found == pytest.approx(a * b, rel=2.0**-51)


def test_large_terms_that_cancel_leave_the_small_one() -> None:
    left = np.array([[2.0**19, 2.0**-19, -(2.0**19)]])
    assert products(left, np.ones((1, 3)))[0, 0] == 2.0**-19


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 80))
def test_the_order_of_terms_does_not_change_a_bit(seed: int, dimensions: int) -> None:
    left, right = rows(seed, 5, dimensions), rows(seed + 1, 6, dimensions)
    order = np.random.default_rng(seed).permutation(dimensions)
    found = products(left, right)
    assert found.tobytes() == products(left[:, order], right[:, order]).tobytes()
    assert (products(right, left) == found.T).all()
    assert (found[2:3] == products(left[2:3], right)).all()  # nor what else is computed with it


@pytest.mark.parametrize("dimensions", [8192, 8193, 20_000])
def test_long_rows_are_added_in_exact_chunks(dimensions: int) -> None:
    largest = np.full((2, dimensions), 1.0 - 2.0**-40)  # every partial sum as large as it can get
    largest[1] *= -1
    found = products(largest, largest)
    exact = dimensions * (1 - Fraction(1, 2**40)) ** 2
    for value, sign in zip(found.ravel(), (1, -1, -1, 1), strict=True):
        assert abs(Fraction(value) - sign * exact) <= Fraction(dimensions, 2**39)


def test_long_rows_of_large_numbers_are_added_in_any_order() -> None:
    random, chunk = np.random.default_rng(0), 8192
    left, right = (random.integers(9 * 2**36, 2**40, (6, 4 * chunk)).astype(np.float64) for _ in range(2))
    order = np.concatenate([start + random.permutation(chunk) for start in range(0, 4 * chunk, chunk)])
    assert products(left, right).tobytes() == products(left[:, order], right[:, order]).tobytes()


def test_zeros_have_no_sign() -> None:
    zero = products(np.array([[-1.0, 0.0]]), np.array([[0.0, 1.0], [-0.0, 0.0]]))
    assert zero.tobytes() == np.zeros((1, 2)).tobytes()
    assert products(np.zeros((2, 0)), np.zeros((3, 0))).tobytes() == np.zeros((2, 3)).tobytes()


def test_squared_norms() -> None:
    values = rows(3, 4, 3000)
    expected = [float(exactly(row, row)) for row in values]
    assert squared_norms(values) == pytest.approx(expected, rel=1e-14)
    assert (squared_norms(values[1:2]) == squared_norms(values)[1:2]).all()


def test_logarithms_are_rounded_once() -> None:
    for numerator, denominator in ((7.0, 5), (0.001, 16), (1, 9), (3, 1), (1e-12, 400)):
        exact = decimal.Context(prec=60).ln(
            decimal.Context(prec=60).divide(decimal.Decimal(numerator), decimal.Decimal(denominator))
        )
        found = log_ratio(numerator, denominator)
        assert abs(decimal.Decimal(found) - exact) <= decimal.Decimal(math.ulp(found)) / 2
    assert log_ratio(3, 3) == 0.0


def test_bounded_values_can_be_squared() -> None:
    values = bounded(np.array([[1e308, -np.inf, 2.5]]))
    assert np.isfinite(squared_norms(values)).all()
    assert values[0, 2] == 2.5

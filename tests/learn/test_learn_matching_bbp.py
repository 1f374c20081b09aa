"""Matching rows: what must hold for any rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.learn.matching.bbp import Atoms, Prior, existing_scores, match, match_one_more

SMALL = Prior(gamma=1e-3)
GROWTHS = ["fixed", "bbp"]


def apart(seed: int, count: int, dimensions: int = 5) -> np.ndarray:
    """Rows that are far from each other."""
    return 4.0 * np.random.default_rng(seed).normal(size=(count, dimensions)) + 10.0 * np.eye(
        count, dimensions
    )


def of(growth: str, **changed: object) -> Prior:
    return Prior(**{"gamma": 1e-3, "growth": growth, **changed})


@pytest.mark.parametrize("growth", GROWTHS)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 5))
def test_permuted_copies_are_the_same_rows(growth: str, seed: int, clients: int, width: int) -> None:
    rows, random = apart(seed, width), np.random.default_rng(seed)
    orders = [random.permutation(width) for _ in range(clients)]
    found = match([rows[order] for order in orders], of(growth), "seed")
    assert found.width == width
    places = [dict(zip(order, a, strict=True)) for order, a in zip(orders, found.assignments, strict=True)]
    assert all(place == places[0] for place in places)


@pytest.mark.parametrize("growth", GROWTHS)
def test_one_client_is_the_identity(growth: str) -> None:
    found = match([apart(0, 4)], of(growth), "seed")
    assert (found.assignments[0] == np.arange(4)).all()
    assert found.width == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 12))
def test_every_row_has_a_place_of_its_own_and_every_place_a_row(
    seed: int, widths: list[int], max_width: int
) -> None:
    random = np.random.default_rng(seed)
    clients = [random.normal(size=(width, 3)) * 3 for width in widths]
    found = match(clients, Prior(gamma=7.0, max_width=max_width), "seed")
    assert max(widths) <= found.width <= max(max_width, *widths)
    for rows, assignment in zip(clients, found.assignments, strict=True):
        assert len(set(assignment)) == len(rows) == len(assignment)
    assert set(np.concatenate(found.assignments)) == set(range(found.width))


def test_rows_that_resemble_no_other_become_new() -> None:
    first, second = 20.0 * np.eye(4)[:3], 20.0 * np.eye(4)[[2, 3]]
    found = match([first, second], SMALL, "seed")
    assert found.width == 4
    assert found.assignments[1][0] == found.assignments[0][2]


def test_sweeps_mend_what_the_first_pass_did_wrong() -> None:
    random = np.random.default_rng(2)
    centres = 3.0 * random.normal(size=(6, 4))
    clients = [centres[random.permutation(6)] + random.normal(size=(6, 4)) for _ in range(4)]

    def scatter(sweeps: int) -> float:
        found = match(clients, of("fixed", sweeps=sweeps), "seed")
        placed = np.array([rows[np.argsort(a)] for rows, a in zip(clients, found.assignments, strict=True)])
        return float(((placed - placed.mean(axis=0)) ** 2).sum())

    assert scatter(5) < scatter(0) - 5
    assert scatter(5) == scatter(100)


def test_same_inputs_and_seed_give_the_same_bytes_and_leave_the_inputs_alone() -> None:
    clients = [np.random.default_rng(n).normal(size=(5, 3)) for n in range(4)]
    copies = [rows.copy() for rows in clients]
    one, two = match(clients, Prior(), "seed"), match(clients, Prior(), "seed")
    assert all((a == b).all() for a, b in zip(one.assignments, two.assignments, strict=True))
    assert all((rows == copy).all() for rows, copy in zip(clients, copies, strict=True))


@pytest.mark.parametrize("growth", GROWTHS)
def test_absurd_values_get_places_like_any_others(growth: str) -> None:
    rows = apart(1, 4)
    found = match([rows, np.full((4, 5), 1e300), rows[::-1]], of(growth), "seed")
    assert all(len(set(assignment)) == 4 for assignment in found.assignments)


def test_new_rows_keep_absurd_values_away_from_the_others() -> None:
    rows = apart(1, 4)
    found = match([rows, np.full((4, 5), 1e300), rows[::-1]], SMALL, "seed")
    assert (found.assignments[0] == found.assignments[2][::-1]).all()


def test_ten_clients_are_the_largest_popularity_that_counts() -> None:
    rows, popularity = apart(2, 3), np.array([10, 12, 19])
    atoms = Atoms(np.zeros((3, 5)), np.ones(3), popularity)
    scores = existing_scores(rows, atoms, 20, SMALL)
    assert (scores == scores[:, :1]).all()
    fewer = Atoms(np.zeros((3, 5)), np.ones(3), np.array([8, 9, 10]))
    assert (np.diff(existing_scores(rows, fewer, 20, SMALL)) > 0.1).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_one_more_finds_its_rows_without_changing_the_others(seed: int) -> None:
    rows, order = apart(seed, 5), np.random.default_rng(seed).permutation(5)
    found = match([rows, rows[::-1]], of("fixed"), "seed")
    assert (
        match_one_more(rows[order], [rows, rows[::-1]], found, of("fixed")) == found.assignments[0][order]
    ).all()


def test_the_widest_client_gives_the_first_rows_then_by_falling_width() -> None:
    rows = 20.0 * np.eye(9)  # no two alike
    found = match([rows[:2], rows[2:6], rows[6:]], of("bbp", sweeps=0), "seed")
    assert [list(assignment) for assignment in found.assignments] == [[7, 8], [0, 1, 2, 3], [4, 5, 6]]

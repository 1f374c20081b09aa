"""Distances hold their digits, networks sort, and bytes do not depend on the machine."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn_tools import VECTOR, outputs_everywhere
from robust_tools import ALL, Memory, clouds, title

from foedus.learn.algorithms import get_strategy
from foedus.learn.robust import RobustRule
from foedus.learn.robust.coordinate import median, median_network, trimmed_mean, trimming_network
from foedus.learn.robust.distances import STEP, Geometry, measure, middle, times
from foedus.learn.robust.geometric import distances_from
from foedus.learn.robust.krum import krum_order
from foedus.learn.robust.mixing import mixed_geometry, mixing
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.vectors import Difference
from foedus.learn.weights import MemorySource

SCRIPT = Path(__file__).with_name("robust_script.py")


def everything(rows: np.ndarray) -> Geometry:
    vectors = [Memory({"w": row}) for row in rows]
    return measure(vectors, {"w": rows.shape[1]}, ["w"], distances=True, products=True)


def models(size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """float32 models whose updates are 1e-4 of their weights; the last client's is 1.5 times as long."""
    random = np.random.default_rng(8)
    server = random.normal(size=size).astype(np.float32)
    moves = [1e-4 * random.normal(size=size) * (1.5 if client == 6 else 1.0) for client in range(7)]
    return server, [(server + move).astype(np.float32) for move in moves]


def test_distances_of_small_updates_keep_their_digits_where_a_gram_matrix_loses_them() -> None:
    server, clients = models(20_000)
    vectors = [Difference(MemorySource({"w": client}), {"w": server}) for client in clients]
    found = measure(vectors, {"w": server.size}, ["w"], distances=True).distances
    exact = np.array([[np.sum((a.astype(np.longdouble) - b) ** 2) for b in clients] for a in clients])
    others = ~np.eye(7, dtype=bool)
    assert np.abs(found / np.where(others, exact, 1) - others)[others].max() < 1e-12

    flat = np.stack(clients)
    gram = flat @ flat.T
    lost = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram
    assert np.abs(lost / np.where(others, exact, 1) - 1)[others].max() > 1e-2
    assert krum_order(found, 1)[-1] == 6


def test_measuring_over_several_blocks_and_tensors_counts_everything_once() -> None:
    rows = np.random.default_rng(2).normal(size=(4, 2 * STEP + 5))
    found = everything(rows)
    np.testing.assert_allclose(found.products, rows @ rows.T, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.lengths, np.linalg.norm(rows, axis=1), rtol=1e-13)
    np.testing.assert_allclose(
        found.distances, [[((a - b) ** 2).sum() for b in rows] for a in rows], rtol=1e-13
    )
    parts = [Memory({"b": row[:5], "a": row[5:], "not": row * 7}) for row in rows]
    shapes = {"not": 2 * STEP + 5, "b": 5, "a": 2 * STEP}
    split = measure(parts, shapes, {"b", "a"}, distances=True)
    np.testing.assert_allclose(split.distances, found.distances, rtol=1e-13)
    turned = measure(parts, dict(reversed(shapes.items())), ["a", "b"], distances=True)
    assert turned.distances.tobytes() == split.distances.tobytes()


@pytest.mark.parametrize("huge", [1e151, 1e200, 1.7e308])
def test_vectors_beyond_measure_count_as_zero(huge: float) -> None:
    found = everything(np.array([[3.0, 4.0], [huge, -huge], [-huge, huge], [1.0, 0.0]]))
    assert list(found.lengths) == [5.0, np.inf, np.inf, 1.0]
    assert found.distances.tolist() == [[0, 25, 25, 20], [25, 0, 0, 1], [25, 0, 0, 1], [20, 1, 1, 0]]
    assert found.products.tolist() == [[25, 0, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 1]]
    assert middle(found.lengths) == 0.5


@pytest.mark.slow
@given(clouds(), st.integers(1, 2), st.sampled_from([1.0, 1e3, 1e25]))
def test_mixed_vectors_lie_where_their_rows_put_them(cloud: np.ndarray, hostile: int, far: float) -> None:
    cloud[0] *= far
    geometry = everything(cloud)
    rows = mixing(geometry.distances, hostile)
    mixed = mixed_geometry(geometry, rows)
    exact = everything(rows @ cloud)
    honest = [index for index in range(len(rows)) if not rows[index, 0]]
    assert all(rows[index, index] for index in range(len(rows)))
    pairs = np.ix_(honest, honest)
    scale = np.abs(cloud[1:]).max() ** 2
    np.testing.assert_allclose(mixed.distances[pairs], exact.distances[pairs], rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(mixed.products[pairs], exact.products[pairs], rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(mixed.distances[0], exact.distances[0], rtol=1e-9, atol=1e-13 * scale)
    np.testing.assert_allclose(mixed.lengths, exact.lengths, rtol=1e-9, atol=1e-13)


def test_lengths_from_products_survive_a_far_vector() -> None:
    """Krum-like algebra on distances would lose all digits here: c · R² is 1e16 times what is left."""
    rows = np.random.default_rng(5).normal(size=(6, 9))
    rows[4] *= 1e16 / np.linalg.norm(rows[4])
    coefficients = np.array([0.2, 0.2, 0.2, 0.2, 2e-17, 0.2])
    products = everything(rows).products
    centre = coefficients @ rows
    expected = np.linalg.norm(rows - centre, axis=1)
    np.testing.assert_allclose(distances_from(coefficients, products), expected, rtol=1e-12)


@pytest.mark.slow
@given(clouds(1, 6), st.integers(1, 4))
def test_products_of_matrices_are_products(matrix: np.ndarray, columns: int) -> None:
    other = np.arange(6.0 * columns).reshape(6, columns)
    np.testing.assert_allclose(times(matrix, other), matrix @ other, atol=1e-12)


@pytest.mark.parametrize("count", range(1, 10))
def test_networks_sort_every_arrangement_of_zeros_and_ones(count: int) -> None:
    """A network that sorts these sorts everything (Knuth 5.3.4, theorem Z)."""
    columns = np.array(list(itertools.product([0.0, 1.0], repeat=count))).T
    ordered = np.sort(columns, axis=0)

    def rows() -> list[np.ndarray]:
        return [row.copy() for row in columns]

    assert (median(rows(), median_network(count)) == np.median(ordered, axis=0)).all()
    for dropped in range((count + 1) // 2):
        found = trimmed_mean(rows(), trimming_network(count, dropped), dropped)
        expected = ordered[dropped : count - dropped].mean(axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("count", [16, 20, 33, 50])
def test_networks_sort_many_clients(count: int) -> None:
    columns = np.random.default_rng(count).normal(size=(count, 200))
    found = median([row.copy() for row in columns], median_network(count))
    np.testing.assert_array_equal(found, np.median(columns, axis=0))
    found = trimmed_mean([row.copy() for row in columns], trimming_network(count, 5), 5)
    np.testing.assert_allclose(found, np.sort(columns, axis=0)[5:-5].mean(axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ALL, ids=title)
@given(order=st.permutations(range(6)))
def test_merged_bytes_do_not_depend_on_the_order_of_arrival(rule: RobustRule, order: list[int]) -> None:
    random = np.random.default_rng(1)
    server = {"w": random.normal(size=5).astype(np.float32)}
    updates = [
        Update(f"c{client}", MemorySource({"w": random.normal(size=5).astype(np.float32)}), client + 1)
        for client in range(6)
    ]
    rules, state = MergeRules(VECTOR, robust=rule), ServerState(server)
    merged = get_strategy("fedavg").aggregate(state, [updates[index] for index in order], rules)
    first = get_strategy("fedavg").aggregate(state, updates, rules)
    assert merged.weights["w"].tobytes() == first.weights["w"].tobytes()
    assert merged.weights["w"].tobytes() != server["w"].tobytes()


@pytest.mark.slow
def test_robust_bytes_do_not_depend_on_threads_or_instruction_set() -> None:
    digests = outputs_everywhere(SCRIPT)
    lines = digests.pop().split()
    assert not digests
    assert len(lines) == len(ALL)
    assert len(set(lines)) > len(ALL) // 2  # mixing makes some rules agree
    assert all(len(line) == len(hashlib.sha256().hexdigest()) for line in lines)

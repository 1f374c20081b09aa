"""Partitions and splits: disjoint, complete where promised, the same for the same seed."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.partitions import partition, partition_names, split, stratified_sample

DIGITS = np.arange(1000, dtype=np.int64) * 7 % 10

COMPLETE = [
    ("iid", {}, 4),
    ("noniid-1", {}, 3),
    ("noniid-2", {}, 3),
    ("noniid-3", {}, 3),
    ("dirichlet", {"alpha": 0.5}, 5),
    ("shards", {"per_client": 2}, 10),
    ("labels", {"sets": [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9, 0]]}, 3),
]


def names(count: int) -> list[str]:
    return [f"client{k}" for k in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args", "clients"), COMPLETE)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), labels=st.permutations(list(range(10))))
def test_disjoint_complete_and_repeatable(
    name: str, args: dict, clients: int, seed: int, labels: list
) -> None:
    digits = np.array(labels * 40, dtype=np.int64)
    given_ = partition(name, digits, names(clients), seed, args)
    assert list(given_) == names(clients)
    together = np.concatenate(list(given_.values()))
    assert sorted(together) == list(range(len(digits)))
    again = partition(name, digits, names(clients), seed, args)
    assert all(np.array_equal(given_[c], again[c]) for c in given_)
    assert all(np.all(np.diff(indices) > 0) for indices in given_.values())


@pytest.mark.parametrize("name", ["iid", "noniid-2"])
def test_another_seed_gives_another_partition(name: str) -> None:
    first, second = (partition(name, DIGITS, names(3), seed) for seed in (1, 2))
    assert any(not np.array_equal(first[c], second[c]) for c in first)


def test_labels_of_several_clients_are_divided_evenly() -> None:
    given_ = partition("noniid-2", DIGITS, ["a", "b", "c"], 5)
    counts = {c: np.bincount(DIGITS[indices], minlength=10) for c, indices in given_.items()}
    assert counts["a"].tolist() == [50, 100, 50, 0, 0, 0, 100, 0, 0, 50]
    assert counts["b"].tolist() == [50, 0, 0, 50, 50, 0, 0, 100, 100, 0]
    assert counts["c"].tolist() == [0, 0, 50, 50, 50, 100, 0, 0, 0, 50]


def test_shards_hold_few_labels() -> None:
    given_ = partition("shards", DIGITS, names(10), 3, {"per_client": 2})
    assert all(len(set(DIGITS[indices])) <= 2 for indices in given_.values())


def test_small_alpha_is_more_skewed() -> None:
    def skew(alpha: float) -> float:
        given_ = partition("dirichlet", DIGITS, names(4), 3, {"alpha": alpha})
        return float(np.mean([np.bincount(DIGITS[i], minlength=10).std() for i in given_.values()]))

    assert skew(0.1) > skew(1.0) > skew(100.0)


@pytest.mark.parametrize(
    ("name", "args", "clients", "message"),
    [
        ("iidd", {}, 3, "Did you mean 'iid'"),
        ("noniid-2", {}, 4, "is for 3 clients, not 4"),
        ("dirichlet", {"alpha": 0.0}, 3, "alpha must lie"),
        ("dirichlet", {"beta": 1.0}, 3, "no argument 'beta'"),
        ("shards", {"per_client": 1.5}, 3, "type int"),
        ("labels", {"sets": [[1], [2]]}, 3, "2 clients, but there are 3"),
        ("labels", {"sets": [[1], [2], []]}, 3, "must be a list"),
        ("labels", {"sets": [[1], [2], 3]}, 3, "must be a list"),
        ("labels", {"sets": [[1], [2], [-3]]}, 3, "must be a list"),
        ("iid", {}, 0, "there is no client"),
    ],
)
def test_unusable_arguments(name: str, args: dict, clients: int, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        partition(name, DIGITS, names(clients), 1, args)


@pytest.mark.parametrize(
    ("name", "args", "poor"),
    [("labels", {"sets": [[1], [77], [2]]}, "client1"), ("iid", {}, "client0")],
)
def test_a_client_without_enough_examples_is_named(name: str, args: dict, poor: str) -> None:
    with pytest.raises(InvalidData, match=f"{poor} gets"):
        partition(name, DIGITS[:8] if name == "iid" else DIGITS, names(3 if args else 5), 1, args)


def test_impossible_dirichlet_is_refused() -> None:
    with pytest.raises(InvalidData, match="needs at least 3"):
        partition("dirichlet", DIGITS[:20], names(10), 1, {"alpha": 0.01})


def test_all_partitions_are_tested() -> None:
    assert set(partition_names()) == {name for name, _, _ in COMPLETE} | {"noniid-3-printed"}


# --- split ---


@pytest.mark.slow
@given(st.integers(3, 400), st.integers(0, 2**63 - 1), st.integers(1, 10))
def test_split_is_disjoint_complete_and_never_empty(size: int, seed: int, label_count: int) -> None:
    labels = np.arange(2000, dtype=np.int64) % label_count
    indices = np.random.default_rng(seed).choice(2000, size, replace=False)
    parts = split(indices, labels, seed)
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(together) == sorted(indices)
    assert min(len(parts.train), len(parts.val), len(parts.test)) >= 1
    assert len(parts.val) == len(parts.test) == max(1, round(size / 10))
    again = split(indices, labels, seed)
    assert np.array_equal(parts.train, again.train)
    assert np.array_equal(parts.val, again.val)


def test_split_is_stratified() -> None:
    parts = split(np.arange(1000), DIGITS, 3)
    for piece, count in ((parts.train, 80), (parts.val, 10), (parts.test, 10)):
        assert np.abs(np.bincount(DIGITS[piece]) - count).max() <= 1


def test_too_few_to_split() -> None:
    with pytest.raises(InvalidData, match="at least 3"):
        split(np.array([1, 2]), DIGITS, 1)


def test_stratified_sample() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = stratified_sample(labels, 50, np.random.default_rng(1))
    assert np.bincount(labels[chosen]).tolist() == [30, 15, 5]
    assert len(set(chosen)) == 50


@pytest.mark.slow
def test_partitions_do_without_torch() -> None:
    light = "aggregation, arguments, datasets, metrics, partitions, updates, weights"
    code = f"import sys; from foedus.learn import {light}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

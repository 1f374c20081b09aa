"""Laws of the weighted mean, of client weights and of the checks before them."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import VECTOR, expected_of, refusal

from foedus.core.errors import InvalidData, UnsupportedModel, UpdateRefused
from foedus.core.records import WAD
from foedus.learn.aggregation import client_weights, weighted_mean
from foedus.learn.updates import Claim, check_update, distance_moved, filter_updates, is_finite
from foedus.learn.weights import MemorySource, Parts, Weights

NUMBERS = st.floats(-1e6, 1e6, width=32)
MODELS = st.integers(1, 5).flatmap(
    lambda clients: st.tuples(
        st.lists(st.lists(NUMBERS, min_size=7, max_size=7), min_size=clients, max_size=clients),
        st.lists(st.integers(1, 10**6), min_size=clients, max_size=clients),
    )
)


def mean(rows: Sequence[Sequence[float]], weights: Sequence[int], block: int = 1 << 18) -> np.ndarray:
    sources = [MemorySource({"w": np.array(row, dtype=np.float32)}) for row in rows]
    server = {"w": np.zeros(len(rows[0]), dtype=np.float32)}
    return weighted_mean(sources, weights, server, VECTOR, block=block)["w"]


@pytest.mark.slow
@given(MODELS)
def test_mean_agrees_with_numpy_and_lies_between_the_extremes(models: tuple) -> None:
    rows, weights = models
    merged = mean(rows, weights)
    expected = np.average(np.array(rows), axis=0, weights=weights)
    np.testing.assert_allclose(merged, expected, rtol=1e-6, atol=1e-6 * np.abs(rows).max())
    assert merged.dtype == np.float32


@pytest.mark.slow
@given(MODELS, st.integers(1, 10**20))
def test_scaling_all_weights_changes_nothing(models: tuple, factor: int) -> None:
    rows, weights = models
    assert mean(rows, weights).tobytes() == mean(rows, [factor * w for w in weights]).tobytes()


@pytest.mark.slow
@given(MODELS, st.integers(1, 8))
def test_block_size_changes_nothing(models: tuple, block: int) -> None:
    rows, weights = models
    assert mean(rows, weights).tobytes() == mean(rows, weights, block).tobytes()


@pytest.mark.slow
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), st.integers(1, WAD))
def test_mean_of_one_is_itself_bit_for_bit(row: list[float], weight: int) -> None:
    assert mean([row], [weight]).tobytes() == np.array(row, dtype=np.float32).tobytes()


def test_half_precision_does_not_overflow() -> None:
    sources = [MemorySource({"w": np.array([60000.0, 1e-7], dtype=np.float16)})] * 2
    merged = weighted_mean(sources, [5000, 7001], {"w": np.zeros(2, dtype=np.float16)}, VECTOR)["w"]
    assert merged.tobytes() == sources[0].weights["w"].tobytes()


def test_source_of_weight_zero_is_never_read() -> None:
    class Unreadable(MemorySource):
        def read_part(self, name: str, start: int, stop: int) -> np.ndarray:
            raise AssertionError("was read")

    good = {"w": np.ones(2)}
    merged = weighted_mean([Unreadable(good), MemorySource(good)], [0, 3], good, VECTOR)
    assert merged["w"].tolist() == [1, 1]


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2]])
def test_unusable_weights(weights: list[int]) -> None:
    with pytest.raises(InvalidData):
        mean([[1.0], [2.0]], weights)


def test_pooled_variance_is_that_of_the_pooled_examples() -> None:
    random = np.random.default_rng(0)
    groups = [random.normal(size=(30, 4)), random.normal(3, 2, size=(70, 4))]
    parts = Parts((), float_buffers=("bn.running_mean", "bn.running_var"))
    sources = [MemorySource({"bn.running_mean": g.mean(0), "bn.running_var": g.var(0)}) for g in groups]
    merged = weighted_mean(sources, [30, 70], sources[0].weights, parts, "pooled")
    everything = np.concatenate(groups)
    np.testing.assert_allclose(merged["bn.running_mean"], everything.mean(0))
    np.testing.assert_allclose(merged["bn.running_var"], everything.var(0))


def test_pooling_leaves_other_float_buffers_averaged() -> None:
    parts = Parts((), float_buffers=("scale", "x.running_var"))
    sources = [MemorySource({"scale": np.array([v]), "x.running_var": np.array([v])}) for v in (1.0, 3.0)]
    merged = weighted_mean(sources, [1, 1], sources[0].weights, parts, "pooled")
    assert merged == {"scale": [2.0], "x.running_var": [2.0]}


def test_scalars_and_empty_tensors() -> None:
    server = {"s": np.float32(1.0).reshape(()), "e": np.zeros((0, 3), dtype=np.float32)}
    parts = Parts(("e", "s"))
    merged = weighted_mean([MemorySource(server)] * 2, [1, 2], server, parts)
    assert merged["s"].shape == ()
    assert merged["s"] == 1
    assert merged["e"].shape == (0, 3)


@pytest.mark.slow
def test_memory_stays_below_three_models() -> None:
    elements, clients = 200_000, 20
    server = {"layer": np.zeros(5 * elements, dtype=np.float32)}  # one tensor: the hardest case

    class Reading(MemorySource):
        def read_part(self, name: str, start: int, stop: int) -> np.ndarray:
            return super().read_part(name, start, stop) + np.float32(1)

    tracemalloc.start()
    weighted_mean([Reading(server)] * clients, [1] * clients, server, Parts(("layer",)), block=10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * 5 * elements * 4  # the result and some blocks


# --- client weights ---


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, WAD)), min_size=1, max_size=8),
    st.floats(0, 10),
    st.floats(0.5, 10),
)
def test_client_weights_follow_the_formula(claims: list, kappa: float, cap: float) -> None:
    counts, rewards = [n for n, _ in claims], [r for _, r in claims]
    weights = client_weights(counts, rewards, kappa, cap)
    positive = [n for n in counts if n]
    limit = cap * np.median(positive) if positive else 0
    exact = [min(n, limit) * (1 + kappa * r / WAD) for n, r in claims]
    if not positive:
        assert not any(weights)
        return
    shares = [weight / sum(weights) for weight in weights]
    np.testing.assert_allclose(shares, np.array(exact) / sum(exact), rtol=1e-9)


def test_equal_clients_have_weight_one() -> None:
    assert client_weights([70, 70], [WAD // 3, WAD // 3]) == [1, 1]


@pytest.mark.parametrize(
    ("rewards", "kappa", "cap"),
    [([WAD + 1], 1.0, 3.0), ([-1], 1.0, 3.0), ([0], -0.5, 3.0), ([0], float("nan"), 3.0), ([0], 1.0, 0.0)],
)
def test_unusable_claims(rewards: list[int], kappa: float, cap: float) -> None:
    with pytest.raises(InvalidData):
        client_weights([5], rewards, kappa, cap)


# --- checks ---

SERVER: Weights = {"w": np.zeros(3, dtype=np.float32), "z": np.ones(2), "i": np.array([1])}
PARTS = Parts(("w",), frozen=("z",), other_buffers=("i",))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ""),
        ({"w": np.array([1, 2, 3], dtype=np.float32)}, ""),
        ({"w": np.array([1, np.nan, 3], dtype=np.float32)}, "nonfinite"),
        ({"w": np.zeros(3)}, "dtype"),
        ({"w": np.zeros((3, 1), dtype=np.float32)}, "shape"),
        ({"more": np.zeros(1)}, "keys"),
        ({"z": np.array([1.0, 1.0 + 1e-15])}, "frozen"),
        ({"i": np.array([9])}, ""),
    ],
)
def test_check_update(change: dict, code: str) -> None:
    assert refusal(MemorySource({**SERVER, **change}), SERVER, PARTS) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.array(1), ""),
        (np.array(1 << 48), ""),
        (np.array(0), "extra"),
        (np.array(-1), "extra"),
        (np.array((1 << 48) + 1), "extra"),
        (np.array([0, 3]), ""),
        (np.array([], np.int64), ""),
        (np.array([3, -1]), "extra"),
    ],
)
def test_numbers_beside_the_weights_are_bounded(value: np.ndarray, code: str) -> None:
    update = MemorySource({**SERVER, "@claim": value})
    expected = {**expected_of(SERVER, PARTS), "@claim": update.spec("@claim")}
    found = ""
    try:
        check_update(update, expected, SERVER, PARTS)
    except UpdateRefused as error:
        found = error.code
    assert found == code


def test_check_update_names_the_tensor() -> None:
    with pytest.raises(UpdateRefused, match="'w'"):
        check_update(
            MemorySource({**SERVER, "w": np.full(3, np.inf, np.float32)}),
            expected_of(SERVER, PARTS),
            SERVER,
            PARTS,
        )


def test_finiteness_is_checked_to_the_last_block() -> None:
    values = np.zeros((1 << 18) + 1, dtype=np.float32)
    assert is_finite(values)
    values[-1] = np.inf
    assert not is_finite(values)


def test_distance_moved() -> None:
    moved = {**SERVER, "w": np.array([3, 0, 4], dtype=np.float32), "i": np.array([50])}
    assert distance_moved(moved, SERVER, PARTS.trainable) == 5
    assert distance_moved(SERVER, SERVER, PARTS.trainable) == 0


def test_strange_types_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="complex"):
        MemorySource({"w": np.zeros(1, dtype=np.complex64)}).spec("w")


# --- filter ---


def test_filter_sorts_by_client_and_names_every_reason() -> None:
    claims = [
        Claim("d", "G", "d1", 5),
        Claim("a", "G", "a1", 5),
        Claim("b", "G", "b1", 0),
        Claim("c", "G", "c1", 5, fault="nonfinite"),
        Claim("e", "G", "old", 5),
        Claim("a", "H", "a2", 5),
    ]
    accepted, refused = filter_updates(claims, "G", seen={"old"})
    assert [claim.cid for claim in accepted] == ["a1", "d1"]
    assert [(r.client, r.code) for r in refused] == [
        ("b", "samples"),
        ("c", "nonfinite"),
        ("e", "duplicate_cid"),
        ("a", "stale_base"),
    ]


def test_filter_refuses_impossible_counts() -> None:
    with pytest.raises(InvalidData):
        filter_updates([Claim("a", "G", "c", -1)], "G")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("GH"), st.integers(0, 2), st.booleans())))
def test_filter_accounts_for_every_claim(raw: list) -> None:
    claims = [Claim(c, b, f"cid{k}", n, gate_passed=ok) for k, (c, b, n, ok) in enumerate(raw)]
    accepted, refused = filter_updates(claims, "G")
    assert sorted(c.cid for c in [*accepted, *refused]) == sorted(c.cid for c in claims)
    assert len({claim.client for claim in accepted}) == len(accepted)

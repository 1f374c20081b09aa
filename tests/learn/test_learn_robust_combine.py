"""What each rule makes of vectors, by hand, and the laws that all of them hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robust_tools import ALL, Memory, centre, clouds, title

from foedus.core.errors import InvalidSpec
from foedus.learn.robust import NoCentre, RobustRule, combine, select
from foedus.learn.robust.distances import STEP, measure
from foedus.learn.robust.krum import krum_order
from foedus.learn.robust.mixing import mixing
from foedus.learn.robust.points import prepare
from foedus.learn.vectors import Difference
from foedus.learn.weights import MemorySource

FIVE = [[1.0], [2.0], [3.0], [4.0], [100.0]]


@pytest.mark.parametrize(
    ("rows", "rule", "expected"),
    [
        (FIVE, RobustRule("median", 1), 3.0),
        (FIVE[:4], RobustRule("median", 1), 2.5),
        (FIVE, RobustRule("trimmed-mean", 1), 3.0),  # of 2, 3, 4
        (FIVE, RobustRule("trimmed-mean", 2), 3.0),
        ([[1.0], [2.0], [4.0], [9.0]], RobustRule("trimmed-mean", 1), 3.0),
        (FIVE, RobustRule("krum", 1), 2.0),  # two neighbours at 1 each: 2 and 3 tie, the first is taken
        (FIVE, RobustRule("multi-krum", 1), 2.5),
        (FIVE, RobustRule("mean", 1, mix=True), 0.2 * (3 * 2.5 + 2.5 + (2 + 3 + 4 + 100) / 4)),
        (FIVE, RobustRule("mean", clip=1.0), (1 + 2 + 3 + 3 + 3) / 5),
        (FIVE, RobustRule("mean", clip=2.0), (1 + 2 + 3 + 4 + 6) / 5),
        # z = 0, τ = 3: every step is at most 3 long; then from z = 2.4 the steps are -1.4, -0.4, 0.6, 1.6, 3
        (FIVE, RobustRule("centred-clipping", 1, iterations=1), (1 + 2 + 3 + 3 + 3) / 5),
        (FIVE, RobustRule("centred-clipping", 1, iterations=2), 2.4 + (-1.4 - 0.4 + 0.6 + 1.6 + 3) / 5),
        (FIVE, RobustRule("centred-clipping", 1, iterations=1, radius=1.0), 1.0),
        # from z = 0: β = 1/|v|, so z = 5 / Σ 1/v, the harmonic mean
        (FIVE, RobustRule("geometric-median", 1, iterations=1), 5 / (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 100)),
    ],
    ids=lambda value: title(value) if isinstance(value, RobustRule) else None,
)
def test_rules_give_what_is_computed_by_hand(rows: list, rule: RobustRule, expected: float) -> None:
    np.testing.assert_allclose(centre(rows, rule), [expected], rtol=1e-14)


def test_the_mean_weighs_clients_until_they_are_mixed() -> None:
    rows, weights = [[1.0], [2.0], [6.0]], [1.0, 1.0, 2.0]
    assert centre(rows, RobustRule("mean", clip=1000.0), weights) == [15 / 4]
    assert centre(rows, RobustRule("median"), weights) == [2.0]
    mixed = centre(rows, RobustRule("mean", 1, mix=True), weights)
    np.testing.assert_allclose(mixed, [(1.5 + 1.5 + 4.0) / 3], rtol=1e-15)


def test_geometric_median_is_where_distances_are_shortest() -> None:
    rows = np.random.default_rng(4).normal(size=(11, 5)) + 2.0
    rows[:3] *= 40.0
    found = centre(rows, RobustRule("geometric-median", 3, iterations=300))
    pulls = (rows - found) / np.linalg.norm(rows - found, axis=1, keepdims=True)
    np.testing.assert_allclose(pulls.sum(axis=0), 0.0, atol=1e-8)
    standard = centre(rows, RobustRule("geometric-median", 3))
    np.testing.assert_allclose(standard, found, rtol=0, atol=1e-3 * np.linalg.norm(found))


def test_of_equally_good_vectors_the_first_is_taken() -> None:
    rows = [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]
    assert list(centre(rows, RobustRule("krum", 1))) == [0.0, 1.0]
    assert list(centre(rows[1:4] + rows[:1] * 2, RobustRule("krum", 0))) == [0.0, 1.0]
    square = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    assert list(centre(square, RobustRule("krum"))) == [1.0, 0.0]


def test_of_many_equal_vectors_the_first_are_taken_and_each_is_its_own_neighbour() -> None:
    same = np.zeros((40, 40))
    assert krum_order(same, 5) == list(range(40))
    values = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0] * 5)
    apart = (values[:, None] - values) ** 2
    assert krum_order(apart, 5) == [*np.flatnonzero(values == 0.0), *np.flatnonzero(values)]
    assert (mixing(same, 5).diagonal() == 1 / 35).all()
    assert np.flatnonzero(mixing(same, 5)[39]).tolist() == [*range(34), 39]


def test_a_trimmed_mean_of_equal_numbers_is_that_number() -> None:
    assert (0.1 + 0.1 + 0.1) / 3 != 0.1  # it is beyond the numbers that it is the mean of
    assert centre([[0.1]] * 5, RobustRule("trimmed-mean", 1)) == [0.1]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [r for r in ALL if not (r.mix and "krum" in r.rule)], ids=title)
@given(cloud=clouds(), data=st.data())
def test_clients_that_are_renamed_change_nothing(
    rule: RobustRule, cloud: np.ndarray, data: st.DataObject
) -> None:
    """But for Krum after mixing: vectors made of almost the same neighbours tie."""
    order = data.draw(st.permutations(range(len(cloud))))
    np.testing.assert_allclose(centre(cloud[order], rule), centre(cloud, rule), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [RobustRule("median", 1), RobustRule("trimmed-mean", 2), RobustRule("krum", 1)]
)
@given(cloud=clouds(), data=st.data())
def test_rules_that_sort_or_choose_do_not_change_a_bit(
    rule: RobustRule, cloud: np.ndarray, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(cloud))))
    assert centre(cloud[order], rule).tobytes() == centre(cloud, rule).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ALL, ids=title)
@given(
    values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False, width=32), min_size=1, max_size=5),
    clients=st.integers(5, 9),
)
def test_equal_vectors_give_that_vector(rule: RobustRule, values: list[float], clients: int) -> None:
    found = centre([values] * clients, rule)
    np.testing.assert_allclose(found, values, rtol=1e-14, atol=0)
    if rule in (RobustRule("median", 1), RobustRule("trimmed-mean", 1), RobustRule("krum", 1)):
        assert list(found) == values


@pytest.mark.slow
@pytest.mark.parametrize("rule", ALL, ids=title)
@given(cloud=clouds(), power=st.integers(-20, 20))
def test_rules_scale_with_the_updates(rule: RobustRule, cloud: np.ndarray, power: int) -> None:
    scale = 2.0**power
    np.testing.assert_array_equal(centre(cloud * scale, rule), scale * centre(cloud, rule))
    np.testing.assert_allclose(centre(-cloud, rule), -centre(cloud, rule), rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [r for r in ALL if r.rule in ("median", "trimmed-mean", "krum", "multi-krum")], ids=title
)
@given(cloud=clouds())
def test_rules_without_lengths_move_with_the_updates(rule: RobustRule, cloud: np.ndarray) -> None:
    if rule.clip:
        return
    shift = np.arange(6.0)
    np.testing.assert_allclose(centre(cloud + shift, rule), centre(cloud, rule) + shift, rtol=0, atol=1e-13)


@pytest.mark.slow
@given(cloud=clouds(least=7, most=12), data=st.data())
def test_f_hostile_clients_keep_coordinates_within_the_honest_range(
    cloud: np.ndarray, data: st.DataObject
) -> None:
    hostile = (len(cloud) - 1) // 2
    values = st.floats(allow_nan=False, allow_infinity=False)
    for row in data.draw(st.permutations(range(len(cloud))))[:hostile]:
        cloud[row] = data.draw(st.lists(values, min_size=6, max_size=6))
        cloud[row, 0] = np.nan  # a mark, replaced below
    honest = cloud[~np.isnan(cloud[:, 0])]
    cloud[np.isnan(cloud[:, 0]), 0] = 1.7e308
    for rule in (RobustRule("median", hostile), RobustRule("trimmed-mean", hostile)):
        found = centre(cloud, rule)
        assert (honest.min(axis=0) <= found).all()
        assert (found <= honest.max(axis=0)).all()


@pytest.mark.slow
@given(cloud=clouds(least=7))
def test_krum_returns_one_of_the_vectors_to_the_bit(cloud: np.ndarray) -> None:
    found = centre(cloud, RobustRule("krum", 2))
    assert found.tobytes() in {row.tobytes() for row in cloud}


@pytest.mark.parametrize("far", [1e10, 1e30, 1e140, 1e200, 1.7e308])
@pytest.mark.parametrize(
    "rule", [r for r in ALL if r.rule != "mean"] + [RobustRule("mean", 1, clip=2.0, mix=True)], ids=title
)
def test_one_hostile_client_moves_no_rule_far(rule: RobustRule, far: float) -> None:
    random = np.random.default_rng(3)
    honest = random.normal(size=(6, 8)) + 1.0
    for attack in (np.full(8, far), np.array([far] + [-far] * 7), far * random.choice([-1.0, 1.0], 8)):
        found = centre(np.insert(honest, 2, attack, axis=0), rule)
        assert np.linalg.norm(found - honest.mean(axis=0)) < 2.0 * np.linalg.norm(honest, axis=1).max()


def test_a_mean_of_clipped_vectors_ignores_those_that_cannot_be_measured() -> None:
    rows = [[3.0, 4.0], [3.0, -4.0], [1e200, 1e200]]
    np.testing.assert_allclose(centre(rows, RobustRule(clip=1.0)), [2.0, 0.0], atol=1e-15)
    assert list(centre([[0.0], [0.0], [5.0]], RobustRule(clip=9.0))) == [0.0]  # most did not move


def test_what_has_no_finite_centre_is_refused() -> None:
    server = {"w": np.array([-1.7e308])}
    updates = [
        Difference(MemorySource({"w": np.array([value])}), server) for value in (1.7e308, 1.6e308, 0.0)
    ]
    for rule in (RobustRule("median", 1), RobustRule("trimmed-mean", 1)):
        with pytest.raises(NoCentre) as caught:
            combine(updates, [1.0] * 3, {"w": 1}, ["w"], rule)
        assert caught.value.code == "far"
    halfway = centre([[1.7e308]] * 2 + [[1.6e308]] * 2, RobustRule("median", 1))
    np.testing.assert_allclose(halfway, 1.65e308)


def test_zeros_have_no_sign_in_sorted_rules() -> None:
    for rule in (RobustRule("median", 1), RobustRule("trimmed-mean", 1)):
        found = centre([[-0.0], [0.0], [-0.0]], rule)
        assert found.tobytes() == np.zeros(1).tobytes()


@pytest.mark.parametrize("rule", ALL, ids=title)
def test_tensors_that_are_not_measured_get_their_median(rule: RobustRule) -> None:
    random = np.random.default_rng(6)
    rows = random.normal(size=(7, STEP + 9))
    alone = [Memory({"w": row}) for row in rows]
    more = [Memory({"w": row, "a.mean": 1e3 * row[:5]}) for row in rows]
    shapes = {"w": rows.shape[1], "a.mean": 5}
    found = combine(more, [1.0] * 7, shapes, ["w"], rule)
    assert found["w"].tobytes() == combine(alone, [1.0] * 7, {"w": shapes["w"]}, ["w"], rule)["w"].tobytes()
    np.testing.assert_array_equal(found["a.mean"], np.median(1e3 * rows[:, :5], axis=0))


@pytest.mark.parametrize("rule", ALL, ids=title)
def test_a_client_with_ordinary_weights_cannot_blow_up_a_buffer(rule: RobustRule) -> None:
    random = np.random.default_rng(7)
    honest = [Memory({"w": random.normal(size=20), "a.mean": random.normal(size=3)}) for _ in range(9)]
    hostile = Memory({"w": random.normal(size=20), "a.mean": np.full(3, 1e30)})
    found = combine([*honest, hostile], [1.0] * 10, {"w": 20, "a.mean": 3}, ["w"], rule)
    assert np.abs(found["a.mean"]).max() < 10


@pytest.mark.parametrize(
    ("rule", "times"),
    [(RobustRule("median"), 1), (RobustRule("multi-krum", 1), 1), (RobustRule("geometric-median"), 2)],
    ids=["median", "multi-krum", "geometric-median"],
)
def test_vectors_are_read_once_to_measure_and_once_to_combine(rule: RobustRule, times: int) -> None:
    vectors = [Memory({"w": row}) for row in np.random.default_rng(1).normal(size=(5, 20))]
    combine(vectors, [1.0] * 5, {"w": 20}, ["w"], rule)
    assert {vector.read // 20 for vector in vectors} <= {times, times + 1}
    assert vectors[0].read >= 20 * times


def test_empty_tensors_pass_through() -> None:
    vectors = [Memory({"w": np.ones(2), "none": np.ones(0)})] * 3
    assert (
        combine(vectors, [1.0] * 3, {"none": 0, "w": 2}, ["w", "none"], RobustRule("krum"))["none"].size == 0
    )


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "geometric-median", "centred-clipping"])
def test_rules_that_make_one_vector_cannot_select(name: str) -> None:
    with pytest.raises(InvalidSpec, match="multi-krum"):
        select([Memory({"w": np.ones(1)})] * 3, [1.0] * 3, {"w": 1}, ["w"], RobustRule(name, 1))


def test_selection_keeps_clients_apart() -> None:
    vectors = [Memory({"w": np.array(row)}) for row in FIVE]
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]

    def chosen(rule: RobustRule) -> tuple:
        found = select(vectors, weights, {"w": 1}, ["w"], rule)
        return found.clients, [v.block("w", 0, 1).item() for v in found.vectors], found.weights

    assert chosen(RobustRule()) == ([0, 1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0, 100.0], weights)
    assert chosen(RobustRule(clip=2.0)) == ([0, 1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0, 6.0], weights)
    assert chosen(RobustRule("krum", 1)) == ([1], [2.0], [1.0])
    assert chosen(RobustRule("multi-krum", 1)) == ([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0], [1.0] * 4)
    assert chosen(RobustRule("mean", 1, mix=True)) == ([0, 1, 2, 3, 4], [2.5] * 4 + [27.25], [1.0] * 5)


@pytest.mark.slow
@given(cloud=clouds())
def test_a_selection_averages_to_the_centre(cloud: np.ndarray) -> None:
    vectors = [Memory({"w": row}) for row in cloud]
    for rule in (RobustRule("multi-krum", 1, 1.0, mix=True), RobustRule("krum", 1), RobustRule(clip=1.0)):
        found = select(vectors, [1.0] * len(cloud), {"w": 6}, ["w"], rule)
        mean = np.average([v.block("w", 0, 6) for v in found.vectors], axis=0, weights=found.weights)
        np.testing.assert_allclose(mean, centre(cloud, rule), rtol=1e-12, atol=1e-14)


def test_measuring_nothing_costs_nothing() -> None:
    vector = Memory({"w": np.ones(3)})
    found = measure([vector], {"w": 3}, [])
    assert (found.lengths, vector.read) == (np.zeros(1), 0)


def test_mixed_vectors_are_the_same_bytes_one_by_one_and_together() -> None:
    cloud = np.random.default_rng(9).normal(size=(7, 40))
    points = prepare(
        [Memory({"w": row}) for row in cloud], {"w": 40}, ["w"], RobustRule("median", 2, mix=True)
    )
    together = points.blocks("w", 3, 33)
    alone = [points.point(index).block("w", 3, 33) for index in range(7)]
    assert [block.tobytes() for block in together] == [block.tobytes() for block in alone]

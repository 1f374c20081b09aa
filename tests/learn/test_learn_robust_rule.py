"""Which rules can be written down, how many clients they take, and what happens when some are missing."""

import dataclasses

import pytest
from robust_tools import ALL, Memory, centre, title

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.robust import MEAN, PARAMETERS, NoCentre, RobustRule, combine


def test_parameters_are_the_fields_with_their_defaults() -> None:
    assert {p.name: p.default for p in PARAMETERS} == dataclasses.asdict(MEAN)
    assert all(parameter.meaning for parameter in PARAMETERS)


def test_only_the_default_is_plain() -> None:
    assert MEAN.is_plain
    assert RobustRule("mean", byzantine=3).is_plain
    assert not any(rule.is_plain for rule in ALL)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rule": "medium"}, "Did you mean 'median'"),
        ({"byzantine": -1}, "byzantine"),
        ({"byzantine": 1.5}, "byzantine"),
        ({"clip": float("nan")}, "clip"),
        ({"clip": -1.0}, "clip"),
        ({"iterations": 0}, "iterations"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"radius": float("inf")}, "radius"),
        ({"rule": "trimmed-mean"}, "plain mean"),
        ({"mix": True}, "plain mean"),
    ],
)
def test_senseless_rules_are_refused(arguments: dict, says: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        RobustRule(**arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "fewest"),
    [
        (MEAN, 1),
        (RobustRule("mean", clip=2.0), 1),
        (RobustRule("mean", 2, mix=True), 5),
        (RobustRule("median"), 3),
        (RobustRule("median", 4), 9),
        (RobustRule("trimmed-mean", 1), 3),
        (RobustRule("krum"), 3),
        (RobustRule("krum", 2), 7),
        (RobustRule("multi-krum", 1), 5),
        (RobustRule("geometric-median", 3), 7),
        (RobustRule("centred-clipping", 3, mix=True), 7),
    ],
)
def test_rules_take_more_than_two_f_clients_and_krum_three_more(rule: RobustRule, fewest: int) -> None:
    assert rule.fewest == fewest
    rule.require(fewest)
    with pytest.raises(InvalidSpec, match=r"more clients.*config check") as caught:
        rule.require(fewest - 1)
    assert str(fewest) in caught.value.message


def test_the_hint_says_how_many_hostile_clients_are_possible() -> None:
    with pytest.raises(InvalidSpec, match="byzantine to at most 2"):
        RobustRule("krum", 4).require(8)


@pytest.mark.parametrize(
    ("rule", "expected"),  # f for 1, 2, … updates; None: no centre
    [
        (RobustRule("median", 2), [None, None, 1, 1, 2, 2]),
        (RobustRule("median"), [None, None, 0, 0, 0]),
        (RobustRule("krum"), [None, None, 0, 0, 0]),
        (RobustRule("krum", 2), [None, None, None, None, 1, 1, 2, 2]),
        (RobustRule("multi-krum", 1, mix=True), [None, None, None, None, 1, 1]),
        (RobustRule("mean", 1, mix=True), [None, None, 1, 1]),
        (RobustRule("mean", clip=2.0), [0, 0]),
    ],
)
def test_missing_updates_lower_f_but_never_to_nothing(rule: RobustRule, expected: list[int | None]) -> None:
    for updates, hostile in enumerate(expected, start=1):
        if hostile is not None:
            assert rule.withstands(updates) == hostile
            continue
        with pytest.raises(NoCentre, match="next round") as caught:
            rule.withstands(updates)
        assert caught.value.code == "few"
        assert isinstance(caught.value, InvalidData)


@pytest.mark.parametrize("rule", ALL, ids=title)
def test_a_merge_of_too_few_updates_has_no_centre(rule: RobustRule) -> None:
    if rule.fewest == 1:
        assert centre([[2.0]], rule) == [2.0]  # clipping alone leaves a single update as it is
        return
    with pytest.raises(NoCentre):
        centre([[1.0]] * 2, rule)


def test_a_merge_with_missing_updates_uses_the_lowered_f() -> None:
    rows = [[0.0], [1.0], [2.0], [50.0]]
    assert centre(rows, RobustRule("trimmed-mean", 3)) == centre(rows, RobustRule("trimmed-mean", 1)) == [1.5]


def test_nothing_at_all_cannot_be_merged() -> None:
    with pytest.raises(NoCentre):
        combine([], [], {"w": 1}, ["w"], RobustRule(clip=1.0))
    vectors = [Memory({})] * 3
    with pytest.raises(InvalidData, match="to measure"):
        combine(vectors, [1.0] * 3, {}, [], RobustRule("geometric-median"))


@pytest.mark.parametrize(
    "weights", [[1.0, 2.0], [1.0, -1.0, 3.0], [0.0, 0.0, 0.0], [1e308, 1e308, float("inf")]]
)
def test_weights_must_add_up_where_they_count(weights: list[float]) -> None:
    with pytest.raises(InvalidData, match="weights"):
        centre([[1.0], [2.0], [3.0]], RobustRule(clip=1.0), weights)

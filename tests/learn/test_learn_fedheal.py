"""FedHEAL beyond the published cases: long histories, clipping, first weights, robust rules, memory."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from learn_tools import VECTOR

from foedus.core.records import WAD
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms._consistency import MOST_ROUNDS, History, Observation, see_all
from foedus.learn.robust import RobustRule
from foedus.learn.strategy import MergeRules, ServerState, Update, part_of
from foedus.learn.vectors import BLOCK, Difference
from foedus.learn.weights import Array, MemorySource, Parts

RULES = MergeRules(VECTOR)


def moved(state: ServerState, client: str, delta: list[float], weight: int = 1, bonus: int = WAD) -> Update:
    return Update(client, MemorySource({"w": state.weights["w"] + np.array(delta)}), weight, bonus)


def start(size: int = 1) -> ServerState:
    return ServerState({"w": np.zeros(size)})


def test_zero_update_counts_as_non_negative() -> None:
    state = get_strategy("fedheal").aggregate(start(3), [moved(start(3), "a", [0.0, 1.0, -1.0])], RULES)
    assert state.parts[part_of("a")]["w"].tolist() == [1, 0, 1]


def test_elements_nobody_keeps_stay() -> None:
    strategy = get_strategy("fedheal", {"tau": 0.5})
    state = start(2)
    for delta in ([1.0, 1.0], [1.0, 1.0], [-8.0, 1.0]):
        state = strategy.aggregate(state, [moved(state, "a", delta)], RULES)
    assert state.weights["w"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize(("agreeing", "is_kept"), [(28, False), (29, False), (30, True)])
def test_share_is_compared_in_whole_numbers(agreeing: int, is_kept: bool) -> None:
    assert 0.29 * 100 < 29  # what floating point makes of it
    server, history = {"w": np.zeros(1)}, History({"w": np.array([agreeing], np.int16)}, 100)
    seen = Observation(Difference(MemorySource({"w": -np.ones(1)}), server), history, tau=0.29)
    see_all([seen], server, ["w"])
    assert bool(seen.distance) == is_kept


def test_history_of_any_length_fits_into_sixteen_bits() -> None:
    counts = {"w": np.array([0, MOST_ROUNDS, 10_001], np.int16)}
    server = {"w": np.zeros(3)}
    seen = Observation(
        Difference(MemorySource({"w": -np.ones(3)}), server), History(counts, MOST_ROUNDS), tau=0.3
    )
    see_all([seen], server, ["w"])
    assert seen.history.rounds == MOST_ROUNDS // 2 + 1
    assert seen.history.counts["w"].tolist() == [1, MOST_ROUNDS // 2 + 1, 5001]
    assert seen.distance == pytest.approx(np.sqrt(2))  # 0 and 0.305 of the history agree: > 0.3 is kept
    assert counts["w"].tolist() == [0, MOST_ROUNDS, 10_001]
    almost = Observation(
        Difference(MemorySource({"w": -np.ones(3)}), server), History(counts, MOST_ROUNDS - 1), tau=-1.0
    )
    see_all([almost], server, ["w"])
    assert almost.history.rounds == MOST_ROUNDS


def test_long_updates_are_shortened_before_they_are_weighed() -> None:
    deltas = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.0, 100.0]}

    def merged(ratio: float, last: list[float]) -> list[float]:
        updates = [moved(start(2), client, delta) for client, delta in {**deltas, "c": last}.items()]
        strategy = get_strategy("fedheal", {"clip_ratio": ratio})
        return strategy.aggregate(start(2), updates, RULES).weights["w"].tolist()

    assert merged(3.0, deltas["c"]) == pytest.approx(merged(0.0, [0.0, 3.0]))
    assert merged(0.0, deltas["c"])[1] > 10


def test_most_not_moving_shortens_nobody() -> None:
    updates = [moved(start(), client, [move]) for client, move in (("a", 0.0), ("b", 0.0), ("c", 5.0))]
    assert get_strategy("fedheal").aggregate(start(), updates, RULES).weights["w"] > 1


def test_first_weights_may_follow_examples_but_not_rewards() -> None:
    updates = [moved(start(), "a", [1.0], 3 * 2, 2), moved(start(), "b", [1.0], 1, 1)]
    parts = get_strategy("fedheal", {"p0": "examples", "beta": 0.0}).aggregate(start(), updates, RULES).parts
    assert [float(parts[part_of(client)]["@p"]) for client in "ab"] == [0.75, 0.25]


def test_those_a_robust_rule_leaves_out_leave_no_trace() -> None:
    rules = dataclasses.replace(RULES, robust=RobustRule("multi-krum", byzantine=1))
    updates = [moved(start(2), client, [1.0, 0.1 * k]) for k, client in enumerate("abcd")]
    state = get_strategy("fedheal").aggregate(start(2), [*updates, moved(start(2), "e", [-9.0, 9.0])], rules)
    assert part_of("e") not in state.parts
    assert state.parts.keys() == {part_of(client) for client in "abcd"}
    assert state.weights["w"][0] == pytest.approx(1.0)


def test_the_absent_keep_their_very_part() -> None:
    strategy = get_strategy("fedheal")
    before = strategy.aggregate(start(), [moved(start(), client, [1.0]) for client in "ab"], RULES)
    after = strategy.aggregate(before, [moved(before, "a", [1.0])], RULES)
    assert after.parts[part_of("b")] is before.parts[part_of("b")]


def test_float_buffers_have_the_weights_of_the_parameters() -> None:
    parts = Parts(("w",), float_buffers=("mean",))
    server = ServerState({"w": np.zeros(1), "mean": np.zeros(1)})
    updates = [
        Update(client, MemorySource({"w": np.array([move]), "mean": np.array([move])}), 1)
        for client, move in (("a", 1.0), ("b", 3.0))
    ]
    merged = get_strategy("fedheal").aggregate(server, updates, MergeRules(parts)).weights
    assert merged["w"] != [2.0]
    np.testing.assert_allclose(merged["mean"], merged["w"], rtol=1e-12)


class Fresh(MemorySource):
    """Reads like a file: every part is a new array."""

    def read_part(self, name: str, start: int, stop: int) -> Array:
        return super().read_part(name, start, stop) + np.float32(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "models"), [("fedheal", 1 + 20 * 0.66), ("fedadam", 5.2), ("scaffold", 23.5)]
)
def test_memory_is_that_of_what_is_kept_and_some_blocks(name: str, models: float) -> None:
    """In models of float32: the result; two bytes and a bit per client; two moments; one variate each."""
    server = {"w": np.zeros(8 * BLOCK, np.float32)}
    extra = {"@steps": np.array(3)} if name == "scaffold" else {}
    updates = [Update(f"c{k:02}", Fresh({**server, **extra}), 1) for k in range(20)]
    tracemalloc.start()
    get_strategy(name).aggregate(ServerState(server), updates, RULES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < models * server["w"].nbytes + 10 * BLOCK * 8

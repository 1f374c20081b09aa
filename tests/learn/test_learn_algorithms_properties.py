"""Laws that hold for every algorithm that merges whole models or gradients."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from algorithm_script import (
    MEDIAN,
    NAMES,
    PARTS,
    RULES,
    bytes_of,
    play,
    robust_rule,
    server,
    updates_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import batch_norm_model, blobs, outputs_everywhere

from foedus.core.errors import InvalidSpec
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.state import parts_of, weights_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import TrainSettings
from foedus.learn.updates import check_update
from foedus.learn.weights import Array, MemorySource
from foedus.store import decode, encode

# With these arguments a merge of one client's update is that client's model: nothing is optimised or damped.
PLAIN = {
    "fedavg": {},
    "fedprox": {},
    "fedsgd": {},
    "fedavgm": {"server_momentum": 0.0},
    "fednova": {},
    "scaffold": {},
    "fedheal": {},
}

all_algorithms = pytest.mark.parametrize("name", NAMES)


@dataclasses.dataclass(frozen=True)
class Unreadable(MemorySource):
    """A source that must not be touched."""

    def read(self, name: str) -> Array:
        raise AssertionError(f"{name} was read")

    def read_part(self, name: str, start: int, stop: int) -> Array:
        raise AssertionError(f"{name} was read")


def after_one_round(name: str) -> ServerState:
    return play(get_strategy(name), ("abc",))


@all_algorithms
def test_order_of_clients_changes_nothing(name: str) -> None:
    strategy, state = get_strategy(name), after_one_round(name)
    updates = updates_of(strategy, state, 5)
    merged = bytes_of(strategy.aggregate(state, updates, RULES))
    assert bytes_of(strategy.aggregate(state, updates[::-1], RULES)) == merged
    assert bytes_of(strategy.aggregate(state, [*updates[2:], *updates[:2]], RULES)) == merged


@pytest.mark.slow
@all_algorithms
@settings(max_examples=10, deadline=None)
@given(factor=st.integers(2, 10**12))
def test_scaling_all_weights_changes_nothing(name: str, factor: int) -> None:
    strategy, state = get_strategy(name), server()
    updates = updates_of(strategy, state, 5, "abc")
    scaled = [dataclasses.replace(u, weight=u.weight * factor, bonus=u.bonus * factor) for u in updates]
    assert bytes_of(strategy.aggregate(state, scaled, RULES)) == bytes_of(
        strategy.aggregate(state, updates, RULES)
    )


@all_algorithms
def test_empty_round_returns_the_very_state(name: str) -> None:
    strategy, state = get_strategy(name), after_one_round(name)
    assert strategy.aggregate(state, [], RULES) is state
    weightless = [dataclasses.replace(u, weight=0) for u in updates_of(strategy, state, 5)]
    assert strategy.aggregate(state, weightless, RULES) is state


@all_algorithms
def test_updates_of_weight_zero_are_never_read(name: str) -> None:
    strategy, state = get_strategy(name), after_one_round(name)
    updates = updates_of(strategy, state, 5, "abc")
    shut = Update("b", Unreadable(updates[1].source.weights), 0)
    without = strategy.aggregate(state, [updates[0], updates[2]], RULES)
    assert bytes_of(strategy.aggregate(state, [updates[0], shut, updates[2]], RULES)) == bytes_of(without)


@all_algorithms
def test_inputs_are_not_modified_and_share_no_storage(name: str) -> None:
    strategy, state = get_strategy(name), after_one_round(name)
    updates = updates_of(strategy, state, 5)
    given_tensors = [*state.weights.values()]
    given_tensors += [array for part in state.parts.values() for array in part.values()]
    given_tensors += [array for update in updates for array in update.source.weights.values()]
    before = [array.tobytes() for array in given_tensors]
    merged = strategy.aggregate(state, updates, RULES)
    assert [array.tobytes() for array in given_tensors] == before
    new_parts = [part for key, part in merged.parts.items() if part is not state.parts.get(key)]
    for tensors in (merged.weights, *new_parts):
        for array in tensors.values():
            assert not any(np.shares_memory(array, old) for old in given_tensors)


@all_algorithms
def test_resumed_state_goes_on_as_if_never_stored(name: str) -> None:
    strategy = get_strategy(name)
    straight = play(strategy, ("abc", "bcde", "abcde"))
    state = play(strategy, ("abc", "bcde"))
    loaded = ServerState(
        decode(b"".join(encode(state.weights))),
        {key: decode(b"".join(encode(part))) for key, part in state.parts.items()},
        dict(state.counters),
    )
    resumed = strategy.aggregate(loaded, updates_of(strategy, loaded, 2), RULES)
    assert bytes_of(resumed) == bytes_of(straight)


@all_algorithms
def test_versions_keep_names_types_and_shapes(name: str) -> None:
    merged = play(get_strategy(name))
    assert {n: (a.dtype, a.shape) for n, a in merged.weights.items()} == {
        n: (a.dtype, a.shape) for n, a in server().weights.items()
    }
    assert merged.weights["bn.num_batches_tracked"] > 3
    assert merged.weights["z"].tobytes() == server().weights["z"].tobytes()
    assert all(np.isfinite(array).all() for array in merged.weights.values())


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_one_client_is_plain_training(name: str) -> None:
    """Training and merging, on a model with batch normalisation."""
    model = batch_norm_model()
    strategy, state = get_strategy(name, PLAIN[name]), ServerState(weights_of(model))
    training = TrainSettings(epochs=2, batch_size=8, learning_rate=0.05)
    rules = MergeRules(parts_of(model), learning_rate=training.learning_rate)
    result = strategy.train(model, state, blobs(30), training, Turn("a", 3))
    source = MemorySource(result.handed_over)
    check_update(source, strategy.update_specs(state, "a", rules), state.weights, rules.parts)
    merged = strategy.aggregate(state, [Update("a", source, 30)], rules)
    assert merged.weights.keys() == result.weights.keys()
    for tensor, values in merged.weights.items():
        assert values.tobytes() == result.weights[tensor].tobytes(), tensor
        assert values.tobytes() == weights_of(model)[tensor].tobytes(), tensor


@all_algorithms
def test_local_tensors_stay_the_servers(name: str) -> None:
    parts = dataclasses.replace(
        PARTS, trainable=("a", "s"), float_buffers=(), other_buffers=(), local=("b", *PARTS.float_buffers)
    )
    rules = dataclasses.replace(RULES, parts=parts)
    strategy, state = get_strategy(name), server()
    updates = []
    for update in updates_of(strategy, state, 5):
        kept = strategy.update_specs(state, update.client, rules)
        updates.append(
            dataclasses.replace(update, source=MemorySource({n: update.source.weights[n] for n in kept}))
        )
    merged = strategy.aggregate(state, updates, rules).weights
    assert all(merged[tensor].tobytes() == state.weights[tensor].tobytes() for tensor in parts.local)
    assert merged["a"].tobytes() != state.weights["a"].tobytes()
    assert strategy.scorable(state, updates[0].source, parts) is None


@all_algorithms
def test_one_hostile_client_cannot_move_a_robust_merge_far(name: str) -> None:
    strategy, state = get_strategy(name), server()
    rules = dataclasses.replace(RULES, robust=robust_rule(name))
    honest = updates_of(strategy, state, 5)
    wild = {
        n: a if n.startswith("@") or n in ("z", "bn.num_batches_tracked") else np.full_like(a, 1e20)
        for n, a in honest[0].source.weights.items()
    }
    merged = strategy.aggregate(
        state, [dataclasses.replace(honest[0], source=MemorySource(wild)), *honest[1:]], rules
    )
    for tensor in PARTS.trainable:
        assert np.abs(merged.weights[tensor] - state.weights[tensor]).max() < 1e3


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"fedheal"}))
def test_float_buffers_follow_the_robust_rule(name: str) -> None:
    strategy, state = get_strategy(name), server()
    updates = updates_of(strategy, state, 5)
    merged = strategy.aggregate(state, updates, dataclasses.replace(RULES, robust=MEDIAN)).weights
    for tensor in PARTS.float_buffers:
        middle = np.median([update.source.weights[tensor] for update in updates], axis=0)
        np.testing.assert_allclose(merged[tensor], middle, rtol=1e-6)


def test_fedheal_takes_only_rules_that_keep_clients_apart() -> None:
    model = batch_norm_model()
    get_strategy("fedheal").check(model, robust_rule("fedheal"))
    with pytest.raises(InvalidSpec, match="median"):
        get_strategy("fedheal").check(model, MEDIAN)


@all_algorithms
def test_defaults_of_the_class_are_those_of_the_reference(name: str) -> None:
    info = next(info for info in describe() if info.name == name)
    assert type(get_strategy(name))() == get_strategy(name)
    assert info.summary.endswith(".")
    assert "When to use it" in info.notes
    for field in dataclasses.fields(type(get_strategy(name))):
        assert field.name in {parameter.name for parameter in info.parameters}


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads_or_instruction_set() -> None:
    digests = outputs_everywhere(Path(__file__).with_name("algorithm_script.py"))
    assert len(digests) == 1
    assert len(digests.pop()) == 64

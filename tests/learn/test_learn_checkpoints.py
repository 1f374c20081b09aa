"""A training that is stopped after any step, once or often, ends with the bytes of one that never was."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_tools import batch_norm_model, blobs
from matching_tools import cnn, examples_for, federation, mlp, recurrent
from torch import nn

from foedus.core.errors import Interrupted
from foedus.learn.algorithms import get_strategy
from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.checkpoints import Checkpoints
from foedus.learn.examples import Examples
from foedus.learn.models import build_model
from foedus.learn.state import load_weights, weights_of
from foedus.learn.strategy import SERVER, ServerState, Turn
from foedus.learn.training import LocalResult, TrainSettings, local_sgd
from foedus.learn.weights import Specs, Weights, specs_of

Train = Callable[[Turn], LocalResult]
EVERY_STEP = frozenset(range(1, 1000))
PLAIN = TrainSettings(epochs=2, batch_size=7, learning_rate=0.1)
RICH = replace(PLAIN, momentum=0.9, weight_decay=0.01)


class InMemory:
    """Saves after the steps of `due`, counted from each start; those of `last` end the training."""

    def __init__(self, due: Collection[int] = (), last: Collection[int] = ()) -> None:
        self.due, self.last = due, last
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.asked = 0

    def load(self, name: str, specs: Specs) -> Weights | None:
        self.asked = 0
        kept = self.kept.get(name)
        return kept if kept is not None and specs_of(kept) == specs else None

    def is_due(self) -> bool:
        self.asked += 1
        return self.asked in self.due or self.asked in self.last

    def save(self, name: str, tensors: Weights) -> None:
        self.kept = {name: {each: array.copy() for each, array in tensors.items()}}
        if self.asked in self.last:
            raise Interrupted


def dropout_model() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


def by(
    name: str,
    make: Callable[[], nn.Module] = mlp,
    training: TrainSettings = PLAIN,
    data: Examples | None = None,
    params: Mapping[str, object] | None = None,
) -> Train:
    """One turn of an algorithm, each time with a model and a state of its own, as in a new process."""

    def train(turn: Turn) -> LocalResult:
        model = make()
        state = get_strategy(name, params).init(weights_of(model))
        return get_strategy(name, params).train(model, state, data or blobs(20), training, turn)

    return train


def scaffold(turn: Turn) -> LocalResult:
    """A turn in which every step is corrected."""
    model, random = mlp(), np.random.default_rng(1)

    def drawn() -> Weights:
        return {name: random.normal(size=tensor.shape) for name, tensor in weights_of(model).items()}

    parts = {SERVER: drawn(), "client/c0": drawn()}
    return get_strategy("scaffold").train(
        model, ServerState(weights_of(model), parts), blobs(20), PLAIN, turn
    )


def fedma(step: int, make: Callable[[], nn.Module] = mlp, **params: object) -> Train:
    """A client's turn in some exchange of a round, after the exchanges before."""
    fed = federation(make(), **params)
    state = fed.strategy.init(weights_of(fed.model))
    for before in range(1, step):
        state = fed.exchange(state, 1, before)
    memory = fed.memories.get("c0", {})

    def train(turn: Turn) -> LocalResult:
        own, training = make(), replace(fed.settings, batch_size=30)
        turn = replace(turn, step=step, memory=memory)
        return FedMA(**params).train(own, state, fed.clients["c0"], training, turn)

    return train


def images() -> Examples:
    inputs = torch.randn(9, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    return Examples(inputs, torch.arange(9) % 10, channels_last=True)


CASES: dict[str, Callable[[], Train]] = {
    "plain": lambda: by("fedavg"),
    "momentum and decay": lambda: by("fedavg", training=RICH),
    "whole batches": lambda: by("fedavg", training=replace(RICH, batch_size=5)),
    "one batch": lambda: by("fedavg", training=replace(RICH, batch_size=50, epochs=4)),
    "dropout": lambda: by("fedavg", dropout_model, RICH),
    "batch norm": lambda: by("fedavg", batch_norm_model, RICH),
    "batch norm, a last batch of one": lambda: by("fedavg", batch_norm_model, RICH, blobs(15)),
    "tokens": lambda: by("fedavg", recurrent, RICH, examples_for(recurrent(), 20, 0)),
    "fedprox": lambda: by("fedprox", training=RICH, params={"mu": 0.5}),
    "fednova": lambda: by("fednova", training=RICH),
    "fedyogi": lambda: by("fedyogi"),
    "fedheal": lambda: by("fedheal"),
    "fedsgd": lambda: by("fedsgd"),
    "scaffold": lambda: scaffold,
    "fedma, first exchange": lambda: fedma(1),
    "fedma, second exchange": lambda: fedma(2),
    "fedma, last exchange": lambda: fedma(3, label_weights=True),
    "fedma, models": lambda: fedma(1, exchange="model", growth="bbp"),
    "fedma, falling back": lambda: by("fedma", params={"fallback": "fedavg"}),
}


def noted(result: LocalResult) -> list[object]:
    """Everything in a result, as bytes and numbers."""
    tensors = {"local": result.weights, "update": result.handed_over, "memory": result.memory}
    return [
        *(
            (part, name, a.dtype, a.shape, a.tobytes())
            for part, w in tensors.items()
            for name, a in w.items()
        ),
        *(result.num_examples, result.steps, result.data_losses, result.penalty),
    ]


def stopped(
    train: Train, checkpoints: InMemory, most: int = 100
) -> tuple[LocalResult, list[tuple[int, int]]]:
    """Train until it is through, starting again after every stop; the calls of `on_step`, too."""
    told: list[tuple[int, int]] = []
    turn = Turn(
        "c0", 3, on_step=lambda done, total, loss: told.append((done, total)), checkpoints=checkpoints
    )
    for attempt in range(most):
        torch.manual_seed(attempt)  # what a process does before is not to matter
        try:
            return train(turn), told
        except Interrupted:
            checkpoints.last = [step for step in checkpoints.last if step != checkpoints.asked]
    raise AssertionError("never through")


def undisturbed(train: Train) -> tuple[LocalResult, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    return train(Turn("c0", 3, on_step=lambda done, total, loss: told.append((done, total)))), told


@pytest.mark.parametrize("case", CASES)
def test_a_training_goes_on_after_a_stop_at_any_step(case: str) -> None:
    train = CASES[case]()
    expected, steps = undisturbed(train)
    assert steps
    for step in range(1, len(steps) + 1):
        checkpoints = InMemory(last=[step])
        result, told = stopped(train, checkpoints)
        assert noted(result) == noted(expected)
        assert told == steps  # counted on, nothing twice
        assert case == "fedsgd" or checkpoints.kept  # which makes one pass only


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_stopped_at_every_step_ends_the_same(case: str) -> None:
    train = CASES[case]()
    expected, steps = undisturbed(train)

    class OneStepEach(InMemory):
        def is_due(self) -> bool:
            self.last = [1]
            return super().is_due()

    result, told = stopped(train, OneStepEach())
    assert noted(result) == noted(expected)
    assert told == steps


@pytest.mark.parametrize("case", CASES)
def test_saving_changes_nothing(case: str) -> None:
    train = CASES[case]()
    result, _ = stopped(train, InMemory(due=EVERY_STEP))
    assert noted(result) == noted(undisturbed(train)[0])


@pytest.mark.parametrize("step", [1, 4, 5])
def test_steps_after_the_newest_checkpoint_are_made_again(step: int) -> None:
    """A process that was killed saved some steps before."""
    train = by("fedprox", dropout_model, RICH, params={"mu": 0.5})
    expected, _ = undisturbed(train)

    class Killed(Exception):
        pass

    def kill(done: int, total: int, loss: torch.Tensor) -> None:
        if done == step + 1:
            raise Killed

    checkpoints = InMemory(due=[step])
    with pytest.raises(Killed):
        train(Turn("c0", 3, on_step=kill, checkpoints=checkpoints))
    told: list[int] = []
    turn = Turn("c0", 3, on_step=lambda done, total, loss: told.append(done), checkpoints=checkpoints)
    assert noted(train(turn)) == noted(expected)
    assert told == list(range(step + 1, 7))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "cnn-bn"])
def test_images_in_another_memory_order_go_on_the_same(name: str) -> None:
    training = replace(RICH, batch_size=4, learning_rate=0.01)
    train = by("fedavg", lambda: build_model(name, {}, 4), training, images())
    expected, steps = undisturbed(train)
    for step in range(1, len(steps) + 1):
        assert noted(stopped(train, InMemory(last=[step]))[0]) == noted(expected)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        TrainSettings,
        epochs=st.integers(0, 4),
        batch_size=st.integers(1, 20),
        learning_rate=st.sampled_from([0.01, 0.3]),
        momentum=st.sampled_from([0.0, 0.9]),
        weight_decay=st.sampled_from([0.0, 0.01]),
    ),
    st.integers(1, 17),
    st.sampled_from([mlp, cnn, dropout_model, batch_norm_model]),
    st.lists(st.integers(1, 12), max_size=6),
    st.sets(st.integers(1, 60)),
)
def test_any_stops_and_any_saves_leave_the_bytes(
    training: TrainSettings,
    count: int,
    make: Callable[[], nn.Module],
    stops: list[int],
    saves: set[int],
) -> None:
    train = by("fedprox", make, training, examples_for(make(), count, 5), {"mu": 0.1})
    result, told = stopped(train, InMemory(saves, stops))
    expected, steps = undisturbed(train)
    assert noted(result) == noted(expected)
    assert told == steps


def test_dropout_after_a_stop_depends_on_the_saved_generator() -> None:
    """Else the tests above could not fail for it."""
    train = by("fedavg", dropout_model)
    checkpoints = InMemory(last=[2])
    with pytest.raises(Interrupted):
        train(Turn("c0", 3, checkpoints=checkpoints))
    checkpoints.last = []
    checkpoints.kept["sgd"]["random/cpu"] = torch.Generator().manual_seed(8).get_state().numpy()
    assert noted(train(Turn("c0", 3, checkpoints=checkpoints))) != noted(undisturbed(train)[0])


def test_a_stop_leaves_global_randomness_and_what_is_frozen_alone() -> None:
    train, before = fedma(2), torch.get_rng_state()
    with pytest.raises(Interrupted):
        train(Turn("c0", 3, checkpoints=InMemory(last=[1])))
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_asked_for_is_what_is_saved() -> None:
    asked: list[Specs] = []

    class Noting(InMemory):
        def load(self, name: str, specs: Specs) -> Weights | None:
            asked.append(specs)
            return super().load(name, specs)

    checkpoints = Noting(due=EVERY_STEP)
    by("fedavg", batch_norm_model, RICH)(Turn("c0", 3, checkpoints=checkpoints))
    assert specs_of(checkpoints.kept["sgd"]) == asked[0]
    assert set(asked[0]) >= {
        "model/1.running_mean",
        "model/1.num_batches_tracked",
        "velocity/0",
        "random/cpu",
    }


def test_two_trainings_of_one_turn_are_kept_apart_by_their_names() -> None:
    def train(checkpoints: Checkpoints | None) -> list[object]:
        model = dropout_model()
        first = local_sgd(model, blobs(20), RICH, 1, checkpoints=checkpoints, name="first")
        second = local_sgd(model, blobs(20), PLAIN, 2, checkpoints=checkpoints, name="second")
        return [*noted(first), *noted(second)]

    for step in range(1, 7):
        checkpoints = InMemory(due=[step])
        train(checkpoints)
        assert set(checkpoints.kept) == {"second"}  # of which "first" knows nothing: it starts again
        checkpoints.due = []
        assert train(checkpoints) == train(None)


def test_weights_that_are_loaded_again_are_no_views_of_the_checkpoint() -> None:
    """A second attempt in the same process starts from the checkpoint as it was saved."""
    train, checkpoints = by("fedavg", training=RICH), InMemory(due=[3])
    for _ in range(3):
        assert noted(train(Turn("c0", 3, checkpoints=checkpoints))) == noted(undisturbed(train)[0])
        checkpoints.due = []


def test_a_model_that_the_warm_worker_keeps_goes_on_the_same() -> None:
    """The next attempt may meet the model object as the stop left it."""
    model = dropout_model()
    start = weights_of(model)

    def train(turn: Turn) -> LocalResult:
        load_weights(model, start)
        return local_sgd(model, blobs(20), RICH, turn.seed, checkpoints=turn.checkpoints)

    expected = train(Turn("c0", 3))
    for step in range(1, 7):
        assert noted(stopped(train, InMemory(last=[step]))[0]) == noted(expected)

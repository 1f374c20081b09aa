"""Many clients at once, or fast one by one, against one call of `local_sgd` for each of them."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from learn_tools import Point, batch_norm_model, blobs, quadratic, quadratic_data
from torch import nn

from foedus.core.errors import FoedusError, InvalidData, TaskFailed, UnsupportedModel
from foedus.learn.batched import BatchResult, train_batched, train_serial
from foedus.learn.batched.gradients import is_chain
from foedus.learn.examples import Examples
from foedus.learn.models import build_model
from foedus.learn.proximal import ProximalPenalty
from foedus.learn.state import load_weights, trainable_parameters, weights_of
from foedus.learn.training import LocalResult, TrainSettings, local_sgd

Trainer = Callable[..., BatchResult]
BOTH = pytest.mark.parametrize("train", [train_batched, train_serial])


def chain(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)
    )


def small_model(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def alone(
    model: nn.Module, clients: Sequence[Examples], s: TrainSettings, seeds: Sequence[int], mu: float = 0.0
) -> list[LocalResult]:
    """What each client gives by itself."""
    base, results = weights_of(model), []
    for data, seed in zip(clients, seeds, strict=True):
        load_weights(model, base)
        penalty = ProximalPenalty(trainable_parameters(model), mu) if mu else None
        results.append(local_sgd(model, data, s, seed, penalty=penalty))
    load_weights(model, base)
    return results


def require_same_bits(result: BatchResult, expected: Sequence[LocalResult]) -> None:
    for row, one in enumerate(expected):
        assert result.weights.keys() == one.weights.keys()
        assert all(result.weights[n][row].tobytes() == one.weights[n].tobytes() for n in one.weights)
        assert tuple(result.losses[row]) == one.data_losses
        assert (result.steps[row], result.num_examples[row]) == (one.steps, one.num_examples)


def largest_difference(result: BatchResult, expected: Sequence[LocalResult]) -> float:
    return max(
        float(np.abs(result.weights[name][row] - one.weights[name]).max())
        for row, one in enumerate(expected)
        for name in one.weights
    )


SETTINGS = st.builds(
    TrainSettings,
    epochs=st.integers(0, 2),
    batch_size=st.integers(1, 12),
    learning_rate=st.sampled_from([0.01, 0.3]),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.01]),
)


@pytest.mark.slow
@hypothesis_settings(max_examples=15, deadline=None)
@given(
    SETTINGS, st.lists(st.integers(1, 11), min_size=1, max_size=4), st.sampled_from([0.0, 0.5]), st.booleans()
)
def test_serial_gives_the_bits_of_each_client_alone(
    s: TrainSettings, counts: list[int], mu: float, is_plain_chain: bool
) -> None:
    model = chain() if is_plain_chain else small_model()
    assert is_chain(model) == is_plain_chain
    clients = [blobs(count, seed) for seed, count in enumerate(counts)]
    seeds = [7 * number for number in range(len(counts))]
    require_same_bits(
        train_serial(model, weights_of(model), clients, s, seeds, mu=mu), alone(model, clients, s, seeds, mu)
    )


@pytest.mark.slow
@hypothesis_settings(max_examples=15, deadline=None)
@given(SETTINGS, st.lists(st.integers(1, 11), min_size=1, max_size=6), st.sampled_from([0.0, 0.5]))
def test_batched_differs_by_rounding_only(s: TrainSettings, counts: list[int], mu: float) -> None:
    """In float64, where rounding is far below what another order of examples or another rule would give."""
    model = small_model().double()
    clients = [
        Examples((b := blobs(count, seed)).inputs.double(), b.targets) for seed, count in enumerate(counts)
    ]
    seeds = [7 * number for number in range(len(counts))]
    result = train_batched(model, weights_of(model), clients, s, seeds, mu=mu, block=2)
    expected = alone(model, clients, s, seeds, mu)
    assert largest_difference(result, expected) < 1e-12
    assert [one.steps for one in expected] == result.steps.tolist()
    assert counts == result.num_examples.tolist()
    np.testing.assert_allclose(result.losses, [one.data_losses for one in expected], rtol=1e-10)


@pytest.mark.slow
@hypothesis_settings(max_examples=15, deadline=None)
@given(SETTINGS, st.lists(st.integers(1, 11), min_size=1, max_size=6), st.sampled_from([0.0, 0.5]))
def test_batched_chains_differ_by_rounding_only(s: TrainSettings, counts: list[int], mu: float) -> None:
    """In float32: a wrong sign, divisor or layer would show in the second digit."""
    model, seeds = chain(), [7 * number for number in range(len(counts))]
    clients = [blobs(count, seed) for seed, count in enumerate(counts)]
    result = train_batched(model, weights_of(model), clients, s, seeds, mu=mu, block=2)
    expected = alone(model, clients, s, seeds, mu)
    assert largest_difference(result, expected) < 1e-4
    np.testing.assert_allclose(result.losses, [one.data_losses for one in expected], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "softmax", "2nn", "cnn"])
@pytest.mark.parametrize("batch_size", [20, 7])
def test_the_models_of_the_registry_agree_to_a_millionth(name: str, batch_size: int) -> None:
    model = build_model(name, seed=3)
    random = torch.Generator().manual_seed(1)
    clients = [
        Examples(
            torch.randn(20, 1, 28, 28, generator=random),
            torch.randint(0, 10, (20,), generator=random),
            name == "cnn",
        )
        for _ in range(3)
    ]
    s, seeds = TrainSettings(1, batch_size, 0.1), [5, 6, 7]
    expected = alone(model, clients, s, seeds, 0.1)
    require_same_bits(train_serial(model, weights_of(model), clients, s, seeds, mu=0.1), expected)
    batched = train_batched(model, weights_of(model), clients, s, seeds, mu=0.1)
    assert largest_difference(batched, expected) < 1e-6
    assert is_chain(model) == (name != "cnn")


def test_two_steps_by_hand() -> None:
    """w ← w − η (a (w − c) + µ (w − θ)), for two clients with their own a and c."""
    clients = [quadratic_data(2.0, 3.0), quadratic_data(1.0, -1.0)]
    s = TrainSettings(epochs=2, batch_size=1, learning_rate=0.1)
    for train in (train_batched, train_serial):
        result = train(Point(1.0), {"w": np.array([1.0])}, clients, s, [1, 2], mu=0.5, loss=quadratic)
        first, second = 1 + 0.1 * 2 * 2, 1 - 0.1 * 2
        expected = [first - 0.1 * (2 * (first - 3) + 0.5 * 0.4), second - 0.1 * ((second + 1) - 0.5 * 0.2)]
        np.testing.assert_allclose(result.weights["w"][:, 0], expected, rtol=1e-14)
        np.testing.assert_allclose(
            result.losses, [[4, (first - 3) ** 2], [2, (second + 1) ** 2 / 2]], rtol=1e-14
        )


@BOTH
def test_rows_keep_the_order_of_the_clients_whatever_their_sizes(train: Trainer) -> None:
    model, s, seen = small_model(), TrainSettings(1, 4, 0.1), []
    clients = [blobs(count, seed) for seed, count in enumerate((5, 8, 5, 3, 8))]
    together = train(
        model, weights_of(model), clients, s, [1, 2, 3, 4, 5], block=2, on_block=lambda *a: seen.append(a)
    )
    for row, (client, seed) in enumerate(zip(clients, (1, 2, 3, 4, 5), strict=True)):
        one = train(model, weights_of(model), [client], s, [seed])
        for name, values in one.weights.items():
            np.testing.assert_allclose(together.weights[name][row], values[0], atol=1e-7)
    assert together.num_examples.tolist() == [5, 8, 5, 3, 8]
    assert together.steps.tolist() == [2, 2, 2, 1, 2]
    assert [total for _, total, _ in seen] == [5] * 3
    assert sorted(done for done, _, _ in seen)[-1] == 5
    assert all(loss > 0 for _, _, loss in seen)


@BOTH
def test_inputs_stay_as_they_are_and_outputs_are_their_own(train: Trainer) -> None:
    model, clients = small_model(), [blobs(6, 1), blobs(6, 2)]
    base = weights_of(model)
    before = {name: values.copy() for name, values in base.items()}
    random = torch.get_rng_state()
    result = train(model, base, clients, TrainSettings(1, 3, 0.1), [1, 2])
    again = train(model, base, clients, TrainSettings(1, 3, 0.1), [1, 2])
    assert torch.equal(random, torch.get_rng_state())
    for name, values in weights_of(model).items():
        assert values.tobytes() == before[name].tobytes() == base[name].tobytes()
        assert result.weights[name].tobytes() == again.weights[name].tobytes()
        assert not np.shares_memory(result.weights[name], base[name])
        assert not np.shares_memory(result.weights[name][0], result.weights[name][1])


@BOTH
def test_without_epochs_everybody_has_the_base(train: Trainer) -> None:
    model = small_model()
    base = weights_of(model)
    result = train(model, base, [blobs(3), blobs(4)], TrainSettings(epochs=0), [1, 2])
    assert result.losses.shape == (2, 0)
    assert result.steps.tolist() == [0, 0]
    assert all((result.weights[name] == values).all() for name, values in base.items())
    nobody = train(model, base, [], TrainSettings(), [])
    assert all(nobody.weights[name].shape == (0, *values.shape) for name, values in base.items())


@BOTH
def test_frozen_tied_and_unused_parameters(train: Trainer) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
            self.unused = nn.Parameter(torch.ones(1))
            self.register_buffer("scale", torch.tensor(0.5))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(torch.tanh(self.first(inputs))) * self.frozen * self.scale

    torch.manual_seed(2)
    model, clients, s = Tied(), [blobs(6, 1), blobs(6, 2)], TrainSettings(1, 3, 0.1, weight_decay=0.1)
    result = train(model, weights_of(model), clients, s, [1, 2])
    assert largest_difference(result, alone(model, clients, s, [1, 2])) < 1e-6
    assert (result.weights["unused"] == 1).all()
    assert (result.weights["first.weight"] == result.weights["second.weight"]).all()


def dropout_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3))


@pytest.mark.parametrize("make", [batch_norm_model, dropout_model])
def test_batch_norm_and_dropout_go_one_by_one(make: Callable[[], nn.Module]) -> None:
    model, clients, s = make(), [blobs(7, 1), blobs(9, 2)], TrainSettings(2, 4, 0.1)
    require_same_bits(
        train_serial(model, weights_of(model), clients, s, [3, 4]), alone(model, clients, s, [3, 4])
    )
    with pytest.raises(UnsupportedModel, match="at once") as refused:
        train_batched(model, weights_of(model), clients, s, [3, 4])
    assert 'batch = "serial"' in refused.value.hint


def test_what_vmap_cannot_do_is_refused_with_the_way_out() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layer(inputs) if inputs.sum() > 0 else self.layer(-inputs)

    model = Branching()
    with pytest.raises(UnsupportedModel, match="at once") as refused:
        train_batched(model, weights_of(model), [blobs(3)], TrainSettings(), [1])
    assert "serial" in refused.value.hint
    assert train_serial(model, weights_of(model), [blobs(3)], TrainSettings(), [1]).steps.tolist() == [1]


@BOTH
@pytest.mark.parametrize(
    ("counts", "seeds", "rate", "error", "message"),
    [
        ((3, 0), (1, 2), 0.1, InvalidData, "client 1 .* no training example"),
        ((3,), (1, 2), 0.1, InvalidData, "1 clients but 2 seeds"),
        ((3, 4), (1, 2), 1e30, TaskFailed, "client 0 .* epoch [23]"),
    ],
)
def test_unusable_clients(
    train: Trainer, counts: tuple, seeds: tuple, rate: float, error: type[FoedusError], message: str
) -> None:
    model = chain()
    with pytest.raises(error, match=message):
        train(model, weights_of(model), [blobs(c) for c in counts], TrainSettings(3, 4, rate), seeds)


@BOTH
def test_infinite_weights_are_found(train: Trainer) -> None:
    """The last step's loss is finite; what it does to the weights is not."""
    data = quadratic_data(1e200, 1e100)
    with pytest.raises(TaskFailed, match="weights 'w'"):
        train(Point(0.0), {"w": np.zeros(1)}, [data], TrainSettings(1, 1, 1e10), [1], loss=_linear)


def _linear(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs * targets[:, 0] * targets[:, 1]).mean()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)),
        nn.Sequential(nn.Flatten(2), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double(),
        nn.Sequential(nn.Linear(4, 3)),
        nn.Linear(4, 3),
    ],
)
def test_what_is_no_plain_chain(model: nn.Module) -> None:
    assert not is_chain(model)


def test_frozen_shared_or_watched_layers_are_no_plain_chain() -> None:
    frozen, watched = chain(), chain()
    next(frozen.parameters()).requires_grad_(False)
    watched[1].register_forward_hook(lambda *_: None)
    layer = nn.Linear(4, 4)
    shared = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)
    assert not any(map(is_chain, (frozen, watched, shared)))


@pytest.mark.slow
def test_the_compiler_stays_out_of_the_process() -> None:
    """It would cost every task a second."""
    code = (
        "import sys, numpy as np, torch\n"
        "from foedus.learn.batched import train_batched\n"
        "from foedus.learn.examples import Examples\n"
        "from foedus.learn.models import build_model, initial_weights\n"
        "from foedus.learn.training import TrainSettings\n"
        "data = Examples(torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))\n"
        "train_batched(build_model('mlp'), initial_weights('mlp', {}, 1), [data], TrainSettings(), [1])\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

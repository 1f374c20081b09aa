"""Models by name, evaluation, examples, and the settings of a worker process."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_tools import batch_norm_model, blobs, outputs_everywhere

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn import process
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples, prepare_images
from foedus.learn.metrics import confusion, macro_f1
from foedus.learn.models import build_model, initial_weights, model_info, model_names, register_model
from foedus.learn.models import registry as registry_module


@pytest.mark.parametrize(
    ("name", "count"), [("softmax", 7_850), ("mlp", 25_450), ("2nn", 199_210), ("cnn", 421_642)]
)
def test_parameter_counts(name: str, count: int) -> None:
    weights = initial_weights(name, {}, 1)
    assert sum(tensor.size for tensor in weights.values()) == count
    assert list(weights) == sorted(weights)
    info = model_info(name)
    images = torch.zeros(2, *info.input_shape)
    assert build_model(name, {"classes": 7})(images).shape == (2, 7)
    assert f"{count:,}" in info.title


def test_hidden_layers_are_as_listed() -> None:
    weights = initial_weights("mlp", {"hidden": [100, 50], "classes": 3}, 1)
    shapes = [weights[name].shape for name in sorted(weights) if name.endswith("weight")]
    assert shapes == [(100, 784), (50, 100), (3, 50)]


def test_only_the_convolutional_models_want_channels_last() -> None:
    convolutional = {"cnn", "cnn-bn", "parametric-surrogate", "surrogate", "unet", "unet-classes"}
    assert {name for name in model_names() if model_info(name).channels_last} == convolutional
    assert {name for name in model_names() if model_info(name).is_linear} == {"softmax"}


def test_seed_decides_and_global_randomness_is_untouched() -> None:
    before = torch.get_rng_state()
    first, again, other = (initial_weights("2nn", {}, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("ccn", {}, "Did you mean 'cnn'"),
        ("zzz", {}, "Valid here: 2nn, cnn, cnn-bn, mlp, parametric-surrogate, softmax, surrogate, unet, "),
        ("cnn", {"clases": 10}, "Did you mean 'classes'"),
        ("cnn", {"classes": 1}, "between 2 and"),
        ("cnn", {"classes": "ten"}, "type int"),
        ("cnn", {"classes": True}, "type int"),
        ("cnn", {"classes": 10.0}, "type int"),
        ("mlp", {"hidden": []}, "must list widths"),
        ("mlp", {"hidden": [0]}, "must list widths"),
        ("mlp", {"hidden": [True]}, "must list widths"),
        ("mlp", {"hidden": [[4]]}, "must list widths"),
        ("mlp", {"hidden": 4}, "type list"),
    ],
)
def test_unusable_models(name: str, args: dict, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        build_model(name, args)


def test_registering_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model_names()
    monkeypatch.setattr(registry_module, "_REGISTRY", dict(registry_module._REGISTRY))
    register = register_model("tiny", title="Tiny", input_shape=(1, 2, 2))
    register(lambda classes: torch.nn.Linear(4, classes))
    assert "tiny" in model_names()
    assert build_model("tiny", {"classes": 3})(torch.zeros(1, 4)).shape == (1, 3)
    with pytest.raises(ValueError, match="already"):
        register(lambda classes: torch.nn.Linear(4, classes))


def test_the_how_to_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    model_names()
    monkeypatch.setattr(registry_module, "_REGISTRY", dict(registry_module._REGISTRY))
    page = (Path(__file__).parents[2] / "docs/how-to/add-a-model.md").read_text()
    model_file, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(model_file, {"__name__": "lenet"})  # noqa: S102 - our own page
    names = {"build_model": build_model, "torch": torch}
    exec(test, names)  # noqa: S102 - our own page
    names["test_lenet"]()


# --- examples ---


def test_images_are_normalised_once() -> None:
    images = np.array([[[0, 255]], [[51, 102]]], dtype=np.uint8)
    examples = prepare_images(images, np.array([1, 0]), (1, 1, 2))
    assert examples.inputs.shape == (2, 1, 1, 2)
    expected = (images[:, None] / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(examples.inputs, expected, rtol=1e-6)
    assert images[0, 0, 1] == 255


@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_cover_the_order(channels_last: bool) -> None:
    inputs = torch.arange(5 * 3 * 2 * 2, dtype=torch.float32).reshape(5, 3, 2, 2)
    examples = Examples(inputs, torch.arange(5), channels_last)
    order = torch.tensor([3, 1, 4, 0, 2])
    batches = list(examples.batches(order, 2))
    assert [len(targets) for _, targets in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([targets for _, targets in batches]), order)
    assert torch.equal(torch.cat([part for part, _ in batches]), inputs[order])
    if channels_last:
        assert batches[0][0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 3), np.float32), np.zeros(2, np.int64), "wants uint8"),
        (np.zeros((2, 3, 4), np.uint8), np.zeros(2, np.int64), "wants uint8"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros(1, np.int64), "2 images but 1 labels"),
    ],
)
def test_unfit_images(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        prepare_images(images, labels, (1, 3, 3))


# --- evaluation ---


def test_evaluation_of_known_predictions() -> None:
    class Echo(torch.nn.Module):
        """Predicts the label that its input is."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.scale * torch.nn.functional.one_hot(inputs, 4)

    truth, predicted = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2])
    for batch_size in (1, 3, 100):
        result = evaluate(Echo(), Examples(predicted, truth), 4, batch_size)
        assert result.accuracy == 0.75
        assert result.examples == 4
        assert result.f1 == pytest.approx((2 / 3 + 2 / 3 + 1 + 0) / 4)
        assert result.parts == pytest.approx((2 / 3, 2 / 3, 1, 0))
        right = -np.log(np.exp(3) / (np.exp(3) + 3))
        assert result.loss == pytest.approx(right + 0.75, rel=1e-6)


def test_evaluation_changes_nothing() -> None:
    model = batch_norm_model()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = evaluate(model, blobs(30), 3)
    assert first == evaluate(model, blobs(30), 3)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_nothing_to_evaluate_on() -> None:
    with pytest.raises(InvalidData, match="no example"):
        evaluate(batch_norm_model(), blobs(0), 3)


@pytest.mark.parametrize(("truth", "predicted"), [([0, 5], [0, 1]), ([0, -1], [0, 1]), ([0], [0, 1])])
def test_labels_outside_the_label_set_are_an_error(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(InvalidData):
        confusion(np.array(truth), np.array(predicted), 3)


def test_perfect_predictions_score_one() -> None:
    labels = np.arange(12) % 3
    assert macro_f1(labels, labels, 3) == 1.0


def test_labels_that_nobody_has_count_as_zero() -> None:
    labels = np.arange(12) % 3
    assert macro_f1(labels, labels, 10) == pytest.approx(0.3)


# --- processes ---


@pytest.mark.slow
def test_worker_settings() -> None:
    code = """
import sys, torch
from foedus.learn import algorithms, evaluation, models, process, training
process.prepare_worker(1)
model = models.build_model("2nn")
data = training.Examples(torch.zeros(4, 1, 28, 28), torch.arange(4))
training.local_sgd(model, data, training.TrainSettings(), 1)
assert torch.are_deterministic_algorithms_enabled()
assert torch.get_num_threads() == 1
assert "torch._dynamo" not in sys.modules, "the compiler takes seconds to load"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_allocator_is_left_alone_where_not_on_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    assert process.tune_allocator() is False


MERGE = Path(__file__).with_name("merge_script.py")


@pytest.mark.slow
def test_merged_bytes_do_not_depend_on_threads_or_instruction_set() -> None:
    digests = outputs_everywhere(MERGE)
    assert len(digests) == 1
    assert len(digests.pop().strip()) == len(hashlib.sha256().hexdigest())

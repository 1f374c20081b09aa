"""Devices: which one a task picks, and that batches and precision are what the device asks for.

What is picked is tested with a made-up `torch.cuda`. What needs a real GPU is skipped without one, whatever
else is required.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_tools import blobs

from foedus.core.errors import InvalidSpec
from foedus.learn import devices
from foedus.learn.devices import CPU, Placed, autocast, one_ahead, pick_device, suits_bfloat16
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples
from foedus.learn.models import build_model
from foedus.learn.objectives import REGRESSION, SEGMENTATION
from foedus.learn.state import weights_of
from foedus.learn.training import TrainSettings, local_sgd

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="missing: a CUDA GPU that PyTorch can use; the CPU is what is tested",
)
GPU = torch.device("cuda", 0)


def images(count: int, channels: int = 1, seed: int = 0) -> Examples:
    """Random pictures with masks, or fields with fields, for convolutional models."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, channels, 16, 16, generator=random)
    if channels == 1:
        return Examples(inputs, (inputs[:, 0] > 0).to(torch.uint8), True, SEGMENTATION)
    return Examples(inputs, inputs * 0.5, True, REGRESSION)


# --- picking ---


def fake_cuda(monkeypatch: pytest.MonkeyPatch, is_there: bool = True, fault: str = "") -> None:
    def ones(*_shape: int, device: str) -> torch.Tensor:
        assert device == "cuda"
        if fault:
            raise RuntimeError(fault)
        return torch.tensor([1.0])

    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch, "ones", ones)


@pytest.mark.parametrize(("forced", "expected"), [("", GPU), ("cuda", GPU), ("cpu", CPU)])
def test_a_usable_gpu_is_picked_unless_the_cpu_is_forced(
    monkeypatch: pytest.MonkeyPatch, forced: str, expected: torch.device
) -> None:
    fake_cuda(monkeypatch)
    assert pick_device(forced) == expected


@pytest.mark.parametrize("forced", ["", "cpu"])
@pytest.mark.parametrize(("is_there", "fault"), [(False, ""), (True, "CUDA error: busy")])
def test_without_a_usable_gpu_it_is_the_cpu(
    monkeypatch: pytest.MonkeyPatch, forced: str, is_there: bool, fault: str
) -> None:
    fake_cuda(monkeypatch, is_there, fault)
    assert pick_device(forced) == CPU


def test_a_forced_cpu_does_not_even_look_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> bool:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_available", look)
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize(
    ("is_there", "fault", "message"),
    [
        (False, "", "FOEDUS_DEVICE is cuda, but PyTorch finds no GPU"),
        (
            True,
            "CUDA error: busy\nCompile with …",
            "FOEDUS_DEVICE is cuda, but the GPU cannot be used: CUDA error: busy",
        ),
    ],
)
def test_a_forced_gpu_that_is_not_usable_is_one_error(
    monkeypatch: pytest.MonkeyPatch, is_there: bool, fault: str, message: str
) -> None:
    fake_cuda(monkeypatch, is_there, fault)
    with pytest.raises(InvalidSpec) as caught:
        pick_device("cuda")
    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message
    assert caught.value.hint == "Unset FOEDUS_DEVICE, or set it to cpu."


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="must be cpu or cuda, got 'gpu'"):
        pick_device("gpu")


# --- precision ---


def test_only_convolutional_models_on_gpus_with_bfloat16_train_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = images(2)
    for has_it in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _emulated, has_it=has_it: has_it)
        assert suits_bfloat16(GPU, pictures) is has_it
        assert not suits_bfloat16(GPU, replace(pictures, channels_last=False))
        assert not suits_bfloat16(CPU, pictures)


@pytest.mark.parametrize(("model", "channels"), [("unet", 1), ("surrogate", 2)])
def test_bfloat16_is_in_the_forward_pass_alone(model: str, channels: int) -> None:
    network, data = build_model(model, {"width": 4}, seed=1), images(3, channels)
    context, outputs, losses = autocast(CPU, is_wanted=True), [], []
    for _ in range(2):  # entered again, as every step does
        with context:
            outputs.append(network(data.inputs))
            losses.append(data.objective.loss(outputs[-1], data.targets))
        losses[-1].backward()
    with autocast(CPU, is_wanted=False):
        exact = network(data.inputs)
    assert {tensor.dtype for tensor in outputs} == {torch.bfloat16}
    assert exact.dtype == torch.float32
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in network.parameters() if p.grad is not None} == {torch.float32}
    torch.testing.assert_close(outputs[0].float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "channels", "rate"), [("unet", 1, 0.05), ("surrogate", 2, 0.001)])
def test_training_in_bfloat16_learns_as_in_float32(
    monkeypatch: pytest.MonkeyPatch, model: str, channels: int, rate: float
) -> None:
    def train() -> tuple[float, ...]:
        network = build_model(model, {"width": 8}, seed=1)
        result = local_sgd(network, images(16, channels), TrainSettings(6, 4, rate, 0.9), seed=1)
        assert {array.dtype for array in result.weights.values()} == {np.dtype(np.float32)}
        return result.data_losses

    exact = train()
    monkeypatch.setattr("foedus.learn.training.suits_bfloat16", lambda _device, _data: True)
    rough = train()
    assert rough != exact
    assert rough[-1] < rough[0]
    assert rough == pytest.approx(exact, rel=0.05)


# --- batches ---


def same_batches(
    found: Iterator[tuple[torch.Tensor, ...]], expected: Iterator[tuple[torch.Tensor, ...]]
) -> bool:
    return all(
        torch.equal(one.cpu(), other) and one.stride() == other.stride()
        for ours, theirs in zip(found, expected, strict=True)
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("data", [images(11), images(11, 2), blobs(11)], ids=["masks", "fields", "labels"])
def test_on_the_cpu_batches_are_those_of_the_examples(data: Examples) -> None:
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    placed = Placed.on(CPU, data)
    assert placed.examples.inputs.data_ptr() == data.inputs.data_ptr()  # not copied
    assert same_batches(placed.batches(order, 4), data.batches(order, 4))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_each_item_comes_when_the_next_is_under_way(count: int) -> None:
    log: list[str] = []

    def start(item: int) -> int:
        log.append(f"start {item}")
        return item

    found = []
    for item in one_ahead(range(count), start):
        log.append(f"use {item}")
        found.append(item)
    assert found == list(range(count))
    for item in found[:-1]:
        assert log.index(f"start {item + 1}") < log.index(f"use {item}")
    for item in found[:-2]:  # one ahead, not more
        assert log.index(f"use {item}") < log.index(f"start {item + 2}")


@pytest.mark.parametrize("is_small", [True, False])
def test_examples_stay_on_a_gpu_if_they_take_at_most_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    data, moved = images(4), []
    monkeypatch.setattr(Examples, "to", lambda self, device: moved.append(device) or self)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (2 * data.size_bytes - 10, 1 << 40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 110)  # of it PyTorch itself holds
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 100 if is_small else 101)
    placed = Placed.on(GPU, data)
    assert (moved, placed.device) == ([GPU] if is_small else [], GPU)


def test_copies_that_are_made_to_pick_batches_count() -> None:
    one, two = images(3), images(3, 2)
    assert one.size_bytes == one.inputs.nbytes + one.targets.nbytes
    assert two.size_bytes == 2 * two.inputs.nbytes + two.targets.nbytes
    assert replace(two, channels_last=False).size_bytes == two.inputs.nbytes + two.targets.nbytes


class FakeStream:
    """A stream that notes what happens on it; `record_event` gives its name and a number."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log, self.events = name, log, 0

    def record_event(self) -> str:
        self.events += 1
        return f"{self.name} {self.events}"

    def wait_event(self, event: str) -> None:
        self.log.append(f"{self.name} waits for {event}")


@pytest.mark.parametrize("data", [images(11), images(11, 2), blobs(11)], ids=["masks", "fields", "labels"])
def test_streamed_batches_are_waited_for_one_by_one(monkeypatch: pytest.MonkeyPatch, data: Examples) -> None:
    log: list[str] = []
    computing = FakeStream("computing", log)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: FakeStream("side", log))
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: computing)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _self, stream: log.append(f"for {stream.name}"))
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    found = devices._streamed(data.batches(order, 4), CPU)
    assert same_batches(found, data.batches(order, 4))
    each = [[f"computing waits for side {number}", *["for computing"] * 2] for number in (1, 2, 3)]
    assert log == [line for lines in each for line in lines]


# --- on a real GPU ---


@needs_gpu
@pytest.mark.slow
@pytest.mark.parametrize("data", [images(11), images(11, 2), blobs(11)], ids=["masks", "fields", "labels"])
def test_kept_and_streamed_batches_are_the_same(data: Examples) -> None:
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    for placed in (Placed.on(GPU, data), Placed(data, GPU)):
        found = list(placed.batches(order, 4))
        assert {tensor.device for batch in found for tensor in batch} == {GPU}
        assert same_batches(iter(found), data.batches(order, 4))


@needs_gpu
@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "surrogate"])
def test_training_on_a_gpu_hands_over_what_the_cpu_would_but_for_rounding(model: str) -> None:
    data = images(24, 1 if model == "unet" else 2)
    results = []
    for device in (CPU, GPU):
        network = build_model(model, {"width": 8}, seed=1).to(device)
        result = local_sgd(network, data, TrainSettings(2, 4, 0.01), seed=1)
        results.append((result, evaluate(network, data, 2)))
    (expected, score), (found, on_gpu) = results
    assert found.data_losses == pytest.approx(expected.data_losses, rel=0.1)
    assert on_gpu.loss == pytest.approx(score.loss, rel=0.1)
    for name, tensor in expected.weights.items():
        assert found.weights[name].dtype == tensor.dtype
        np.testing.assert_allclose(found.weights[name], tensor, rtol=0.1, atol=0.02)


@needs_gpu
def test_weights_of_a_model_on_a_gpu_are_the_same_bytes() -> None:
    here, there = build_model("cnn", seed=1), build_model("cnn", seed=1).to(GPU)
    ours, theirs = weights_of(here), weights_of(there)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)

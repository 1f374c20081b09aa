"""Objectives against formulas written out by hand, and models that learn masks and fields."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples, examples_for, prepare_images
from foedus.learn.models import build_model, model_info
from foedus.learn.objectives import (
    CLASSIFICATION,
    LABELLED_SEGMENTATION,
    REGRESSION,
    SEGMENTATION,
    with_labels,
)
from foedus.learn.training import TrainSettings, local_sgd


class Given(nn.Module):
    """A model that answers with its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.scale


def masks(*rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


# --- masks ---


def test_dice_and_loss_of_masks_are_as_written() -> None:
    logits = torch.tensor([[[[2.0, -1.0], [0.5, -3.0]]]])
    wanted = masks([[1, 1], [0, 0]])
    p, y = 1 / (1 + np.exp(-logits.double().numpy().ravel())), np.array([1, 1, 0, 0])
    crossed = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    expected = crossed + 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    found = evaluate(Given(), Examples(logits, wanted, objective=SEGMENTATION), 1)
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert float(SEGMENTATION.loss(logits, wanted)) == pytest.approx(expected, rel=1e-6)
    assert found.f1 == 2 * 1 / (2 + 2)  # inside are pixels 0 and 2; wanted are 0 and 1
    assert found.accuracy == 0.5


def test_dice_is_the_mean_of_the_images_and_1_where_nothing_is_and_nothing_was_found() -> None:
    logits = torch.tensor([[[[-1.0, -1.0]]], [[[1.0, -1.0]]], [[[-1.0, -1.0]]]])
    found = evaluate(
        Given(), Examples(logits, masks([[0, 0]], [[1, 0]], [[1, 1]]), objective=SEGMENTATION), 1
    )
    assert found.f1 == pytest.approx((1 + 1 + 0) / 3)
    assert found.examples == 3


def test_scores_do_not_depend_on_the_size_of_batches() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 1, 4, 4, generator=random)
    wanted = (torch.rand(7, 4, 4, generator=random) > 0.5).to(torch.uint8)
    fields = torch.randn(7, 2, 4, 4, generator=random)
    for inputs, targets, objective in (
        (logits, wanted, SEGMENTATION),
        (fields, fields + 0.1, REGRESSION),
    ):
        data = Examples(inputs, targets, objective=objective)
        whole, single = evaluate(Given(), data, 1), evaluate(Given(), data, 1, batch_size=2)
        assert whole.f1 == pytest.approx(single.f1, rel=1e-12)
        assert whole.loss == pytest.approx(single.loss, rel=1e-6)


def test_a_mask_and_a_label_cost_the_sum_of_both() -> None:
    random = torch.Generator().manual_seed(4)
    logits, scores = (torch.randn(3, 1, 4, 4, generator=random), torch.randn(3, 5, generator=random))
    outputs = torch.cat([logits, scores[:, :, None, None].expand(-1, -1, 4, 4)], dim=1)
    wanted = (torch.rand(3, 4, 4, generator=random) > 0.5).to(torch.uint8)
    labels = torch.stack([scores[0].argmax(), scores[1].argmin(), scores[2].argmax()])
    data = Examples(outputs, with_labels(wanted, labels), objective=LABELLED_SEGMENTATION)
    found, mask = (
        evaluate(Given(), data, 5),
        evaluate(Given(), Examples(logits, wanted, objective=SEGMENTATION), 5),
    )
    crossed = float(-scores.double().log_softmax(1)[torch.arange(3), labels].mean())
    assert found.loss == pytest.approx(mask.loss + crossed, rel=1e-6)
    assert float(LABELLED_SEGMENTATION.loss(outputs, data.targets)) == pytest.approx(found.loss, rel=1e-6)
    assert (found.f1, found.parts) == (mask.f1, mask.parts)
    assert found.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("label", [-1, 128, 258])
def test_labels_beside_masks_fit_into_a_byte(label: int) -> None:
    with pytest.raises(InvalidData, match="from 0 to 127"):
        with_labels(masks([[0, 1]]), torch.tensor([label]))
    assert with_labels(masks([[0, 1]]), torch.tensor([127])).tolist() == [[[254, 255]]]


def test_labels_that_a_class_head_lacks_are_refused() -> None:
    data = Examples(torch.zeros(1, 3, 1, 2), with_labels(masks([[0, 1]]), torch.tensor([2])))
    with pytest.raises(InvalidData, match="labels up to 2, and the model tells 2 apart"):
        evaluate(Given(), replace(data, objective=LABELLED_SEGMENTATION), 3)


def test_a_model_of_labels_is_no_model_of_masks() -> None:
    data = Examples(torch.zeros(2, 3), torch.zeros(2, 3), objective=SEGMENTATION)
    with pytest.raises(InvalidData, match=r"\(B, 1, H, W\)"):
        evaluate(Given(), data, 1)


# --- fields ---


def test_r2_is_that_of_each_channel_and_then_their_mean() -> None:
    random = np.random.default_rng(1)
    wanted = random.standard_normal((5, 2, 3, 3)) * np.array([1.0, 4.0]).reshape(1, 2, 1, 1) + 2
    answer = wanted + random.standard_normal(wanted.shape) * 0.5
    expected = [
        1 - ((wanted[:, c] - answer[:, c]) ** 2).sum() / ((wanted[:, c] - wanted[:, c].mean()) ** 2).sum()
        for c in range(2)
    ]
    data = Examples(torch.tensor(answer), torch.tensor(wanted), objective=REGRESSION)
    found = evaluate(Given(), data, 1)
    assert found.parts == pytest.approx(expected)
    assert found.f1 == found.accuracy == pytest.approx(np.mean(expected))
    assert found.loss == pytest.approx(((wanted - answer) ** 2).mean())


@pytest.mark.parametrize("answer", [9.0, math.nan, math.inf])
def test_r2_is_never_below_0_nor_nan(answer: float) -> None:
    wanted = torch.tensor([[[[1.0, 2.0]]]])
    data = Examples(torch.full_like(wanted, answer), wanted, objective=REGRESSION)
    assert evaluate(Given(), data, 1).f1 == 0.0


def test_nothing_explains_a_field_that_is_the_same_everywhere() -> None:
    wanted = torch.full((3, 1, 8, 8), 0.1)
    data = Examples(wanted.clone(), wanted, objective=REGRESSION)
    assert evaluate(Given(), data, 1).f1 == 0.0


def test_shapes_of_fields_must_agree() -> None:
    data = Examples(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), objective=REGRESSION)
    with pytest.raises(InvalidData, match="outputs are"):
        evaluate(Given(), data, 1)


# --- models and data that fit each other ---


@pytest.mark.parametrize(("norm", "buffers"), [("group", 0), ("batch", 30), ("none", 0)])
def test_unet_keeps_the_size_of_images(norm: str, buffers: int) -> None:
    model = build_model("unet", {"width": 4, "depth": 2, "norm": norm})
    assert model(torch.zeros(2, 1, 32, 48)).shape == (2, 1, 32, 48)
    assert len(list(model.buffers())) == buffers


def test_titles_say_how_many_parameters_there_are() -> None:
    for name in ("unet", "unet-classes", "surrogate", "parametric-surrogate"):
        count = sum(parameter.numel() for parameter in build_model(name).parameters())
        assert f"{count:,}" in model_info(name).title


def test_unet_refuses_arguments_that_are_none() -> None:
    with pytest.raises(InvalidSpec, match="norm"):
        build_model("unet", {"norm": "layer"})


def squares() -> tuple[np.ndarray, np.ndarray]:
    """Return twelve noisy images of a bright square, and where it is."""
    random = np.random.default_rng(0)
    masks_ = np.zeros((12, 16, 16), np.uint8)
    for one in masks_:
        row, column = random.integers(0, 8, 2)
        one[row : row + 8, column : column + 8] = 1
    return (masks_ * 150 + random.integers(0, 50, masks_.shape)).astype(np.uint8), masks_


def test_unet_learns_a_mask_and_a_label() -> None:
    images, masks_ = squares()
    labels = np.arange(12) % 3
    images = images // (1 + labels[:, None, None]).astype(np.uint8)
    model = build_model("unet-classes", {"width": 4, "depth": 2, "classes": 3}, seed=1)
    assert model(torch.zeros(2, 1, 32, 48)).shape == (2, 4, 32, 48)
    data = examples_for(model_info("unet-classes"), images, labels, masks_)
    before = evaluate(model, data, 3)
    local_sgd(model, data, TrainSettings(60, 4, 0.05, 0.9), seed=1)
    after = evaluate(model, data, 3)
    assert after.f1 > 0.9 > before.f1
    assert after.accuracy > 0.9 > before.accuracy


def test_unet_learns_a_mask() -> None:
    images, masks_ = squares()
    model = build_model("unet", {"width": 4, "depth": 2}, seed=1)
    data = examples_for(model_info("unet"), images, np.zeros(12, np.int64), masks_)
    before = evaluate(model, data, 1)
    result = local_sgd(model, data, TrainSettings(20, 4, 0.1, 0.9), seed=1)
    after = evaluate(model, data, 1)
    assert after.f1 > 0.95 > before.f1
    assert result.data_losses[-1] < result.data_losses[0]


@pytest.mark.parametrize(("name", "channels"), [("surrogate", 2), ("parametric-surrogate", 4)])
def test_surrogate_knows_no_border(name: str, channels: int) -> None:
    model = build_model(name, {"width": 4}, seed=2).eval()
    state = torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(3))
    moved = torch.roll(state, (3, 5), dims=(2, 3))
    with torch.no_grad():
        torch.testing.assert_close(model(moved), torch.roll(model(state), (3, 5), dims=(2, 3)))


def test_a_surrogate_begins_as_if_its_fields_were_standardised() -> None:
    model = build_model("surrogate", {"width": 64, "depth": 0}, seed=1)
    noise = torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    state = noise * torch.tensor([0.3, 0.15])[:, None, None] + torch.tensor([0.5, 0.2])[:, None, None]
    with torch.no_grad():
        hidden = model[0](state)  # type: ignore[operator]  # the first of a sequence
    assert abs(float(hidden.mean())) < 0.05
    assert 1.2 < float(hidden.std()) < 1.6, "√2, as He et al. have it for layers with rectifiers"


def test_examples_carry_their_objective_through_parts_and_devices() -> None:
    fields = np.zeros((4, 2, 8, 8), np.float32)
    data = examples_for(model_info("surrogate"), fields, np.zeros(4, np.int64), fields)
    for one in (data, data.part(1, 3), data.to(torch.device("cpu"))):
        assert one.objective is REGRESSION
        assert one.channels_last
    labels = prepare_images(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64), (1, 28, 28))
    assert labels.objective is CLASSIFICATION


@pytest.mark.parametrize(
    ("model", "images", "targets", "message"),
    [
        ("unet", np.zeros((2, 16, 16), np.uint8), None, "no targets"),
        ("unet", np.zeros((2, 16, 16), np.uint8), np.zeros((1, 16, 16), np.uint8), "no targets"),
        ("unet", np.zeros((2, 3, 16, 16), np.uint8), np.zeros((2, 16, 16), np.uint8), "the model wants"),
        ("unet", np.zeros((2, 16), np.uint8), np.zeros((2, 16, 16), np.uint8), "the model wants"),
        ("surrogate", np.zeros((2, 2, 8, 8)), np.zeros((2, 2, 8, 8), np.float32), "the model wants"),
        ("surrogate", np.zeros((2, 8, 8), np.float32), np.zeros((2, 2, 8, 8), np.float32), "model wants"),
        ("cnn", np.zeros((2, 16, 16), np.uint8), np.zeros((2, 16, 16), np.uint8), "the model wants"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    model: str, images: np.ndarray, targets: np.ndarray | None, message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        examples_for(model_info(model), images, np.zeros(len(images), np.int64), targets)

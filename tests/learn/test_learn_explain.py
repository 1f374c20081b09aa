"""Grad-CAM: exact on networks computed by hand, the same each time, and clear where it cannot be."""

import math

import pytest
import torch
from torch import nn

from foedus.core.errors import InvalidSpec, UnsupportedModel
from foedus.learn.explain import convolutions, default_layer, explain
from foedus.learn.models import build_model

IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


class Pooled(nn.Module):
    """Two channels x and -x, their means, and weights for two classes."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.relu = nn.ReLU(inplace=True) if in_place else nn.Identity()
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[4.0, 8.0], [12.0, 4.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(x)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class Masks(nn.Module):
    """The image itself as the score of each pixel, plus a bias for each class."""

    def __init__(self, biases: list[float]) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.body.weight.data = torch.zeros(1, 1, 3, 3)
        self.body.weight.data[0, 0, 1, 1] = 1.0
        self.head = nn.Conv2d(1, len(biases), 1)
        self.head.weight.data = torch.tensor([1.0] * len(biases)).reshape(-1, 1, 1, 1)
        if len(biases) > 1:
            self.head.weight.data[0] = 0.0
        self.head.bias.data = torch.tensor(biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


def test_it_is_what_the_equations_give_by_hand() -> None:
    # class 1: weights 12/4 and 4/4; heat = max(0, 3 x - 1 x) = 2 x, at most 8; y = (-10, 20)
    found = explain(Pooled(), IMAGE)
    assert found.heat.tolist() == [[0.25, 0.5], [0.75, 1.0]]
    assert (found.peak, found.layer, found.target, found.predicted) == (8.0, "conv", 1, 1)
    assert found.shares == pytest.approx((math.exp(-30), 1.0))
    assert found.mask is None


def test_what_speaks_against_a_class_is_cut_off() -> None:
    # class 0: weights 4/4 and 8/4; heat = max(0, x - 2 x) = 0
    found = explain(Pooled(), IMAGE, 0)
    assert (found.peak, found.target, found.predicted) == (0.0, 0, 1)
    assert found.heat.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_activations_are_those_before_a_layer_that_works_in_place() -> None:
    # -x is cut to 0 behind the convolution, so its channel has no gradient: heat = 3 x
    found = explain(Pooled(in_place=True), IMAGE)
    assert (found.peak, found.heat.tolist()) == (12.0, [[0.25, 0.5], [0.75, 1.0]])


def test_masks_are_explained_over_the_pixels_taken_for_the_class() -> None:
    # y = x - 2.5: class 1 where x is 3 or 4. d y / d x is 1 there, 2 of 4 pixels: heat = 0.5 x
    found = explain(Masks([-2.5]), IMAGE)
    assert (found.target, found.predicted, found.shares) == (1, 1, (0.5, 0.5))
    assert (found.peak, found.heat.tolist()) == (2.0, [[0.25, 0.5], [0.75, 1.0]])
    assert found.mask is not None
    expected = [[1 / (1 + math.exp(2.5 - x)) for x in row] for row in [[1, 2], [3, 4]]]
    assert found.mask.numpy() == pytest.approx(torch.tensor(expected).numpy())
    assert explain(Masks([-2.5]), IMAGE, 0).peak == 0.0  # the background's score falls with x


def test_scores_behind_those_of_pixels_tell_a_label() -> None:
    class WithClassHead(Masks):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = super().forward(x)
            return torch.cat([mask, 0 * mask, 0 * mask + math.log(3)], dim=1)

    found, alone = explain(WithClassHead([-2.5]), IMAGE, is_labelled=True), explain(Masks([-2.5]), IMAGE)
    assert found.labels == pytest.approx([0.25, 0.75])
    assert alone.labels == ()
    assert (found.predicted, found.shares, found.heat.tolist()) == (1, alone.shares, alone.heat.tolist())
    assert explain(WithClassHead([-2.5]), IMAGE).shares != alone.shares


def test_several_classes_of_pixels_have_the_largest_but_the_background_predicted() -> None:
    # class 2 beats class 1 everywhere and the background where x is 4
    found = explain(Masks([3.5, 0.0, 0.25]), IMAGE)
    assert (found.predicted, found.shares) == (2, (0.75, 0.0, 0.25))
    assert found.peak == 1.0  # 1 of 4 pixels: 0.25 x


def test_a_class_that_no_pixel_is_taken_for_is_explained_over_all_of_them() -> None:
    found = explain(Masks([9.0, 0.0]), IMAGE, 1)
    assert (found.shares, found.peak) == ((1.0, 0.0), 4.0)


def test_the_layer_is_the_last_convolution_that_sees_neighbours() -> None:
    assert default_layer(Masks([0.0])) == "body"
    assert default_layer(Pooled()) == "conv"  # there is no other
    assert convolutions(build_model("cnn")) == ("0", "3")
    assert default_layer(build_model("cnn")) == "3"


@pytest.mark.parametrize("name", ["cnn", "cnn-bn"])
def test_the_same_image_gives_the_same_bytes_and_leaves_the_model_as_it_was(name: str) -> None:
    model = build_model(name, seed=3).eval()
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one, two = (explain(model, image, 4, "0") for _ in range(2))
    assert one.heat.shape == (28, 28)
    assert one.heat.dtype == torch.float32
    assert torch.equal(one.heat, two.heat)
    assert one.shares == two.shares
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["softmax", "2nn", "mlp"])
def test_a_model_without_convolutions_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(UnsupportedModel, match="no convolution") as caught:
        explain(build_model(name), torch.zeros(1, 1, 28, 28))
    assert "cnn" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "layer", "said"), [(9, None, "class 9"), (-1, None, "class -1"), (0, "x", "'x'")]
)
def test_classes_and_layers_that_are_not_there_are_named(target: int, layer: str | None, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        explain(Pooled(), IMAGE, target, layer)


def test_answers_that_are_no_numbers_are_refused() -> None:
    model = Pooled()
    model.head.weight.data[0, 0] = math.nan
    with pytest.raises(UnsupportedModel, match="not finite"):
        explain(model, IMAGE)


def test_a_layer_that_the_answer_does_not_depend_on_is_cold() -> None:
    model = Pooled()
    model.head.weight.data.zero_()
    assert explain(model, IMAGE).peak == 0.0

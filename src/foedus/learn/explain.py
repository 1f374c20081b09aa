"""Grad-CAM: on which parts of an image a model's answer rests. Tensors in, tensors out.

Selvaraju et al. 2017, equations 1 and 2. With A_k (h, w) the channels that a convolution gives and y the
score of a class, before any softmax:

    weight_k = mean over i, j of  dy / dA_k[i, j]          heat = max(0, sum over k of  weight_k A_k)

Seg-Grad-CAM (Vinogradova et al. 2020, equation 1) is the same for models that answer for each pixel: y is the
sum of the class's scores over the pixels that the model takes for that class.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from foedus.core.errors import InvalidSpec, UnsupportedModel
from foedus.learn.arguments import hint_for
from foedus.learn.objectives import label_logits

_MASKS_NDIM: Final = 4  # (N, C, H, W)


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Why a model answered as it did, for one image and one class.

    `heat` (H, W) is from 0 to 1, and zero everywhere where nothing speaks for the class; `peak` is what 1
    stands for. `shares` has a number for each class: its probability, or the share of the pixels taken for
    it. `mask` (H, W) is the probability of the class in each pixel, for models that answer so; `labels` are
    the probabilities of the labels that a model tells beside its mask.
    """

    heat: torch.Tensor
    peak: float
    layer: str
    target: int
    predicted: int
    shares: tuple[float, ...]
    mask: torch.Tensor | None
    labels: tuple[float, ...] = ()


def convolutions(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a model's convolutions, in the order in which they were built."""
    return tuple(name for name, part in model.named_modules() if isinstance(part, nn.Conv2d))


def default_layer(model: nn.Module) -> str:
    """Return the last convolution that looks at more than single pixels, which only mix channels.

    Raises `UnsupportedModel` for a model without convolutions.
    """
    names = convolutions(model)
    if not names:
        raise UnsupportedModel(
            "the model has no convolution, so nothing in it knows where in the image something is",
            'Heat maps need a model such as "cnn".',
        )
    return next((name for name in reversed(names) if _sees_neighbours(model, name)), names[-1])


def explain(
    model: nn.Module,
    inputs: torch.Tensor,
    target: int | None = None,
    layer: str | None = None,
    is_labelled: bool = False,
) -> HeatMap:
    """Compute the heat map of one image (1, C, H, W) for a class, the predicted one if None.

    The model must be in evaluation mode and answer with scores (1, classes) or (1, classes, H, W); with one
    class in the latter, class 1 is the foreground and 0 the rest. `is_labelled` says that the first score
    alone is of pixels, and the others tell a label, as those of a U-Net's class head. Raises `InvalidSpec`
    for a class or layer that is not there, `UnsupportedModel` for models that cannot be explained so.
    """
    name = default_layer(model) if layer is None else layer
    if name not in convolutions(model):
        raise InvalidSpec(f"the model has no convolution {name[:60]!r}", hint_for(name, convolutions(model)))
    seen: list[torch.Tensor] = []

    def keep(_part: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        return output.clone()  # a layer that works in place must not change what we keep

    hook = model.get_submodule(name).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            outputs = model(inputs.detach().clone().requires_grad_())
    finally:
        hook.remove()
    answer = _Answer.of(outputs[:, :1] if is_labelled else outputs, target)
    if not seen:
        raise UnsupportedModel(f"the model does not use its layer {name!r}", "Choose another layer.")
    gradient = torch.autograd.grad(answer.score, seen[-1], allow_unused=True)[0]
    heat = _heat(seen[-1].detach(), gradient, inputs.shape[-2:])
    peak = float(heat.max())
    return HeatMap(
        heat / peak if peak > 0 else heat,
        peak,
        name,
        answer.target,
        answer.predicted,
        answer.shares,
        answer.mask,
        tuple(label_logits(outputs.detach())[0].double().softmax(0).tolist()) if is_labelled else (),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What a model answered, and the score of the class that is explained."""

    score: torch.Tensor
    target: int
    predicted: int
    shares: tuple[float, ...]
    mask: torch.Tensor | None = None

    @classmethod
    def of(cls, scores: torch.Tensor, target: int | None) -> "_Answer":
        if scores.ndim not in (2, _MASKS_NDIM) or len(scores) != 1:
            raise UnsupportedModel(f"the model answers one image with scores of shape {tuple(scores.shape)}")
        if not bool(torch.isfinite(scores).all()):
            raise UnsupportedModel(
                "the model answers with numbers that are not finite", "Choose another version."
            )
        return cls._of_image(scores[0], target) if scores.ndim == 2 else cls._of_pixels(scores[0], target)

    @classmethod
    def _of_image(cls, scores: torch.Tensor, wanted: int | None) -> "_Answer":
        shares = torch.softmax(scores.detach().double(), 0)
        predicted = int(shares.argmax())
        target = _checked(predicted if wanted is None else wanted, len(scores))
        return cls(scores[target], target, predicted, tuple(shares.tolist()))

    @classmethod
    def _of_pixels(cls, scores: torch.Tensor, wanted: int | None) -> "_Answer":
        alone = len(scores) == 1  # sigmoid(y) is the softmax of the scores 0 and y
        pair = torch.cat([torch.zeros_like(scores), scores]) if alone else scores
        scores = torch.cat([-scores, scores]) if alone else scores
        chances = torch.softmax(pair.detach().double(), 0)  # (C, H, W)
        taken = chances.argmax(0)
        counts = torch.bincount(taken.flatten(), minlength=len(scores))
        predicted = 1 + int(counts[1:].argmax())  # class 0 is the background
        target = _checked(predicted if wanted is None else wanted, len(scores))
        where = taken == target
        score = scores[target][where].sum() if bool(where.any()) else scores[target].sum()
        shares = tuple((counts.double() / counts.sum()).tolist())
        return cls(score, target, predicted, shares, chances[target].float())


def _checked(target: int, classes: int) -> int:
    if not 0 <= target < classes:
        raise InvalidSpec(f"the model has no class {target}", f"Its classes are 0 to {classes - 1}.")
    return target


def _heat(channels: torch.Tensor, gradient: torch.Tensor | None, size: torch.Size) -> torch.Tensor:
    """Return the heat (H, W) in the size of the image, not yet scaled."""
    if gradient is None:  # the answer does not depend on this layer
        return torch.zeros(size)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (1, K, 1, 1)
    heat = functional.relu((weights * channels).sum(dim=1, keepdim=True))
    return functional.interpolate(heat, size=tuple(size), mode="bilinear", align_corners=False)[0, 0]


def _sees_neighbours(model: nn.Module, name: str) -> bool:
    part = model.get_submodule(name)
    return isinstance(part, nn.Conv2d) and max(part.kernel_size) > 1

"""U-Net: Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation. MICCAI
2015. https://arxiv.org/abs/1505.04597. With padded convolutions, normalisation, and a width of one's choice.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import nn

from foedus.learn.arguments import Parameter
from foedus.learn.models.registry import register_model
from foedus.learn.objectives import LABELLED_SEGMENTATION, SEGMENTATION

_GROUPS: Final = 8  # of GroupNorm, or fewer when there are not as many channels


class UNet(nn.Module):
    """Encoder and decoder of `depth` levels with skip connections.

    (B, C, H, W) -> logits (B, 1 + classes, H, W). H and W are multiples of 2^depth. Level i has width · 2^i
    channels. Where there are classes, a linear layer tells them from the means of the deepest level's
    channels; each one's logit fills a channel behind the mask.
    """

    def __init__(
        self, channels: int, width: int, depth: int, norm: Callable[[int], nn.Module], classes: int = 0
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _double(before, after, norm) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(2 * wide, wide, 2, stride=2) for wide in reversed(widths[:-1])
        )
        self.up = nn.ModuleList(_double(2 * wide, wide, norm) for wide in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, 1, 1)
        self.classify = nn.Linear(widths[-1], classes) if classes else None
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logit of "inside the mask" of every pixel, and then those of the classes."""
        kept = []
        features = images
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else self.pool(features))
            kept.append(features)
        deepest = kept.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            features = block(torch.cat([kept.pop(), grow(features)], dim=1))
        mask: torch.Tensor = self.head(features)
        if self.classify is None:
            return mask
        logits = self.classify(deepest.mean(dim=(2, 3)))[:, :, None, None]
        return torch.cat([mask, logits.expand(-1, -1, mask.shape[2], mask.shape[3])], dim=1)


_SHAPE: Final = (
    Parameter("width", 16, "channels of the first level; each level has twice as many", low=2, high=128),
    Parameter("depth", 3, "levels below the first; sides must be multiples of 2^depth", low=1, high=6),
    Parameter(
        "norm",
        "group",
        "normalisation; batch normalisation has running statistics to be merged (policy.buffers)",
        choices=("group", "batch", "none"),
    ),
)


@register_model(
    "unet",
    title="U-Net for masks of grey images (482,449 parameters at width 16 and depth 3)",
    input_shape=(1, None, None),
    parameters=_SHAPE,
    channels_last=True,
    objective=SEGMENTATION,
)
def unet(width: int, depth: int, norm: str) -> nn.Module:
    """Build a U-Net for one channel."""
    return UNet(1, width, depth, _NORMS[norm])


@register_model(
    "unet-classes",
    title="U-Net for masks of grey images that also tells their label (482,965 parameters at 4 labels)",
    input_shape=(1, None, None),
    parameters=(*_SHAPE, Parameter("classes", 4, "number of labels", low=2, high=128)),
    channels_last=True,
    objective=LABELLED_SEGMENTATION,
)
def unet_classes(width: int, depth: int, norm: str, classes: int) -> nn.Module:
    """Build a U-Net for one channel with a class head."""
    return UNet(1, width, depth, _NORMS[norm], classes)


_NORMS: Final[Mapping[str, Callable[[int], nn.Module]]] = {
    "group": lambda wide: nn.GroupNorm(_divisor(wide), wide),
    "batch": nn.BatchNorm2d,
    "none": lambda wide: nn.Identity(),
}


def _double(before: int, after: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide in (before, after):
        layers += [nn.Conv2d(wide, after, 3, padding=1, bias=False), norm(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _divisor(wide: int) -> int:
    return next(groups for groups in range(min(_GROUPS, wide), 0, -1) if wide % groups == 0)

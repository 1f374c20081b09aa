"""Models for 28 × 28 grey images."""

import itertools
from collections.abc import Sequence

from torch import nn

from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import Parameter
from foedus.learn.models.registry import CLASSES, register_model

IMAGE = (1, 28, 28)
PIXELS = 28 * 28
WIDEST = 4096


@register_model("softmax", title="Softmax regression (7,850 parameters)", input_shape=IMAGE, is_linear=True)
def softmax(classes: int) -> nn.Module:
    """Build one linear layer: convex, and the only model here that may start from zeros."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, classes))


@register_model(
    "2nn", title="McMahan's 2NN: two hidden layers of 200 (199,210 parameters)", input_shape=IMAGE
)
def two_layer_network(classes: int) -> nn.Module:
    """Build 784-200-200-classes with ReLU (McMahan et al. 2017, section 3)."""
    return nn.Sequential(
        nn.Flatten(),  # (B, 784)
        nn.Linear(PIXELS, 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, classes),
    )


@register_model(
    "mlp",
    title="Hidden layers of your choice (25,450 parameters with one of 32)",
    input_shape=IMAGE,
    parameters=(CLASSES, Parameter("hidden", [32], f"widths of the hidden layers, each 1 to {WIDEST}")),
)
def multi_layer_perceptron(classes: int, hidden: Sequence[int]) -> nn.Module:
    """Build 784-hidden-classes with ReLU. Raises `InvalidSpec` for widths that are none."""
    if not hidden or not all(type(width) is int and 1 <= width <= WIDEST for width in hidden):
        raise InvalidSpec(
            f"model 'mlp': hidden must list widths of 1 to {WIDEST}, got {list(hidden)!r}",
            'Write hidden = [32], or use the model "softmax", which has no hidden layer.',
        )
    layers: list[nn.Module] = [nn.Flatten()]  # (B, 784)
    for width, following in itertools.pairwise([PIXELS, *hidden]):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], classes))


@register_model(
    "cnn",
    title="Two 3 × 3 convolutions and two linear layers (421,642 parameters)",
    input_shape=IMAGE,
    channels_last=True,
)
def convolutional_network(classes: int) -> nn.Module:
    """Build conv 32 - pool - conv 64 - pool - linear 128 - linear.

    ReLU comes after the pooling: the function is the same, since both are monotone, at a quarter of the work.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),  # (B, 32, 28, 28)
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),  # (B, 64, 14, 14)
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),  # (B, 64 * 7 * 7)
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )

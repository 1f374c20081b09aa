"""A convolutional network with batch normalisation, for what algorithms do with running statistics."""

from torch import nn

from foedus.learn.models.registry import register_model


@register_model(
    "cnn-bn",
    title="Two 3 × 3 convolutions with batch normalisation, one linear layer (50,378 parameters)",
    input_shape=(1, 28, 28),
    channels_last=True,
)
def normalised_network(classes: int) -> nn.Module:
    """Build conv 32 - norm - pool - conv 64 - norm - pool - linear."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),  # (B, 32, 28, 28)
        nn.BatchNorm2d(32),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),  # (B, 64, 14, 14)
        nn.BatchNorm2d(64),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),  # (B, 64 * 7 * 7)
        nn.Linear(64 * 7 * 7, classes),
    )

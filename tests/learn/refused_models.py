"""Models that are no chain of layers, by the names that the cases give them, and the part to blame."""

import torch
from torch import nn


class ResidualAdd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.out(x + torch.relu(self.second(x)))


class UnetConcatSkip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up, self.out = nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.down(x))
        low = torch.relu(self.low(nn.functional.max_pool2d(skip, 2)))
        return self.out(torch.cat([nn.functional.relu(low), skip], dim=1))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.embedding(x)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention, self.out = (
            nn.Linear(4, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        return self.out(self.attention(x, x, x)[0])


MODELS = {
    "residual_add": (ResidualAdd, "add"),
    "unet_concat_skip": (UnetConcatSkip, "cat"),
    "tied_weights": (TiedWeights, "out.weight"),
    "convtranspose_untold": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3)),
        "2 \\(ConvTranspose2d\\)",
    ),
    "attention": (Attention, "attention \\(MultiheadAttention\\)"),
}

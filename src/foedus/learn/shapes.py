"""Shapes of examples, and whether a model takes them. Nothing here needs PyTorch."""

from collections.abc import Sequence
from typing import TypeAlias

InputShape: TypeAlias = tuple[int, int | None, int | None]
"""What a model takes: channels, height, width; None where any size will do."""


def fits(shape: Sequence[int], wanted: InputShape) -> bool:
    """Tell whether examples of this shape suit a model; grey images may come without axis of channels."""
    channels = tuple(shape) if len(shape) == len(wanted) else (1, *shape)
    if len(channels) != len(wanted):
        return False
    return all(one in (None, size) for size, one in zip(channels, wanted, strict=True))

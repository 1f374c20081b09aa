"""Images as PNG: examples for people to look at, heat maps in colours that everybody can tell apart."""

from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from foedus.core.errors import InvalidData

VIRIDIS: Final = (
    (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137),
    (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37),
)  # fmt: skip
"""Ten even steps of viridis (van der Walt and Smith 2015): as bright as the value is high, to every eye."""

_COLOURS: Final = 3
_LARGEST_BYTE: Final = 255


def example_png(example: npt.NDArray[Any]) -> bytes:
    """Draw an example (H, W), (1, H, W) or (3, H, W); values that are no bytes are stretched.

    Raises `InvalidData` for what is no image.
    """
    values = example[0] if example.ndim == 3 and len(example) == 1 else example
    if values.ndim not in (2, 3) or (values.ndim == 3 and len(values) != _COLOURS) or not values.size:
        raise InvalidData(f"examples of shape {tuple(example.shape)} are no images that can be shown")
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InvalidData("the example holds numbers that are not finite")
        values = _bytes((values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny))
    return _png(
        Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0) if values.ndim == 3 else values))
    )


def map_png(values: npt.NDArray[np.floating[Any]]) -> bytes:
    """Draw numbers from 0 to 1 (H, W) in viridis. A pixel's index in the palette is 255 times its number."""
    image = Image.fromarray(_bytes(values), mode="P")
    steps = np.linspace(0, 1, len(VIRIDIS))
    at = np.linspace(0, 1, _LARGEST_BYTE + 1)
    colours = [np.interp(at, steps, channel) for channel in zip(*VIRIDIS, strict=True)]
    image.putpalette(np.rint(np.stack(colours, axis=1)).astype(np.uint8).tobytes())
    return _png(image)


def _bytes(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(values, 0, 1) * _LARGEST_BYTE), np.uint8)


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, format="png")
    return out.getvalue()

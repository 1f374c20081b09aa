"""A folder of pictures by class."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

import numpy as np

from foedus.apps.datasets._labels import numbered
from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import MOST_BYTES, Each, Source, Values
from foedus.core.errors import InvalidData

_SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
_MOST_PIXELS: Final = 1 << 26


def pick(listing: Listing) -> Sequence[str]:
    """Return the pictures in the folders of classes; without such folders, those in the folder itself."""
    pictures = [name for name in listing.names if PurePath(name).suffix.lower() in _SUFFIXES]
    by_class = [name for name in pictures if name.count("/") == 1]
    if by_class and len(by_class) != len(pictures):
        stray = next(name for name in pictures if name.count("/") != 1)
        raise InvalidData(f"{stray} lies in no folder of a class", "One folder per class, pictures inside.")
    if not pictures or (not by_class and any("/" in name for name in pictures)):
        raise InvalidData(
            "there are no folders with PNG or JPEG files", "One folder per class, pictures inside."
        )
    return pictures


def read(listing: Listing, each: Each) -> Source:
    """Read all pictures: uint8 (N, H, W) when all are grey, else (N, 3, H, W)."""
    is_grey = all(_mode(listing, name) in _GREY for name in listing.names)
    pictures: list[Values] = []
    size = 0
    for name in listing.names:
        picture = _pixels(listing, name, is_grey)
        pictures.append(each(picture) if each else picture)
        size += pictures[-1].nbytes
        if size > MOST_BYTES:
            raise InvalidData(
                f"the pictures take more than {MOST_BYTES:,} bytes", "Resize them, or use fewer."
            )
        if pictures[-1].shape != pictures[0].shape:
            raise InvalidData(
                f"pictures have different sizes, e.g. {pictures[0].shape[-2:]} and {pictures[-1].shape[-2:]}",
                'Make them one size: --step "resize height=… width=…" as the first step.',
            )
    if "/" not in listing.names[0]:
        return Source(np.stack(pictures), None, files=listing.names)
    folders = [name.partition("/")[0] for name in listing.names]
    numbers, names = numbered(set(folders))
    if len(set(numbers.values())) < len(numbers):
        raise InvalidData("two folders are called by the same number", "Rename one of them, or join them.")
    labels = np.array([numbers[folder] for folder in folders])
    return Source(np.stack(pictures), labels, names, listing.names)


def _mode(listing: Listing, name: str) -> str:
    from PIL import Image

    with listing.open(name) as file:
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                mode, (width, height) = image.mode, image.size
        except Exception as error:  # Pillow raises whatever its decoders do
            raise InvalidData(f"{name} is no usable PNG or JPEG: {error}") from error
    if width * height > _MOST_PIXELS:
        raise InvalidData(f"{name} has {width} × {height} pixels, more than {_MOST_PIXELS:,}")
    if mode not in _GREY + _COLOUR:
        raise InvalidData(f"{name} has pixels of the kind {mode}", "Convert it to 8-bit grey or RGB.")
    return str(mode)


def _pixels(listing: Listing, name: str, is_grey: bool) -> Values:
    from PIL import Image

    with listing.open(name) as file:
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                pixels = np.asarray(image.convert("L" if is_grey else "RGB"))
        except Exception as error:  # as above; truncated files are noticed here
            raise InvalidData(f"{name} is damaged: {error}") from error
    return pixels if is_grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))

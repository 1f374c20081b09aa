"""Chest X-rays with masks of the lungs, from folders of PNG files."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from foedus.core.errors import InvalidData
from foedus.learn.datasets.image_set import ImageSet

COVID_CLASSES: Final = ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")  # as in the paper's table 5
LUNG_GROUPS: Final = (
    "montgomery, normal",
    "montgomery, tuberculosis",
    "shenzhen, normal",
    "shenzhen, tuberculosis",
)

_LARGEST_PIXELS: Final = 4096 * 4096
_INSIDE: Final = 127  # a mask's pixel above that belongs to the lungs
_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA")  # of 8 bits; Pillow cuts more of them off at white

_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Pair:
    """An X-ray and its mask, and which group they belong to."""

    image: Path
    mask: Path
    group: int


def lungs(folder: Path, side: int) -> ImageSet:
    """Return the X-rays of two hospitals with masks drawn by hand: `SITE/{images,masks}/NAME_{0,1}.png`.

    Labels are site × finding, as in `LUNG_GROUPS`; a name's end says the finding, 1 is tuberculosis.
    Raises `InvalidData` naming the file that is missing, damaged or called otherwise.
    """
    pairs = [
        _Pair(image, mask, 2 * site + _finding(image))
        for site, name in enumerate(("montgomery", "shenzhen"))
        for image, mask in _pairs(folder / name)
    ]
    return _image_set(pairs, side, LUNG_GROUPS, "chest X-rays of Montgomery and Shenzhen")


def _finding(image: Path) -> int:
    if not image.stem.endswith(("_0", "_1")):
        raise InvalidData(
            f"the name of {image} tells no finding",
            "It ends with _0 (normal) or _1 (tuberculosis), then .png.",
        )
    return int(image.stem[-1])


def covid(folder: Path, side: int) -> ImageSet:
    """Return the COVID-19 Radiography Database, as it is published: `CLASS/{images,masks}/CLASS-N.png`.

    Images are grey of 299 × 299, masks RGB of 256 × 256. Labels are the classes, as in `COVID_CLASSES`. Of
    images with the same pixels the first counts: the database has some of them several times.
    Raises `InvalidData` naming the folder or file that is missing or damaged.
    """
    pairs = [
        _Pair(image, mask, label)
        for label, name in enumerate(COVID_CLASSES)
        for image, mask in _pairs(folder / name)
    ]
    return _image_set(pairs, side, COVID_CLASSES, "COVID-19 Radiography Database")


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    images, masks = folder / "images", folder / "masks"
    for needed in (images, masks):
        if not needed.is_dir():
            raise InvalidData(f"there is no folder {needed}", "Give the folder that holds the database.")
    found = sorted(path for path in images.glob("*.png") if not path.name.startswith("."))
    if not found:
        raise InvalidData(f"there is no picture (.png) in {images}")
    for image in found:
        mask = masks / image.name
        if not mask.is_file():
            raise InvalidData(f"{image} has no mask {mask}", "Restore it, or remove the picture.")
        yield image, mask


def _image_set(pairs: Sequence[_Pair], side: int, groups: Sequence[str], source: str) -> ImageSet:
    images, masks, labels = [], [], []
    seen: set[bytes] = set()
    for pair in pairs:
        image = _grey(pair.image)
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        mask = _grey(pair.mask)
        images.append(np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)))
        if 0 < np.asarray(mask).max() <= _INSIDE:
            raise InvalidData(
                f"the mask {pair.mask} has no pixel above {_INSIDE}",
                "Masks are 0 outside of the lungs and 255 inside.",
            )
        masks.append(_mask(mask, side))
        labels.append(pair.group)
    twice = len(pairs) - len(labels)
    return ImageSet(
        images=np.stack(images),
        labels=np.array(labels, np.int64),
        label_count=len(groups),
        train_count=len(labels),
        source=f"{source}, {side} × {side}" + (f", {twice} duplicates left out" if twice else ""),
        targets=np.stack(masks),
    )


def _mask(mask: Image.Image, side: int) -> _Grey:
    sized = mask.resize((side, side), Image.Resampling.BILINEAR)
    return (np.asarray(sized) > _INSIDE).astype(np.uint8)


def _grey(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > _LARGEST_PIXELS:
                raise InvalidData(f"{path} is larger than {_LARGEST_PIXELS:,} pixels")
            if image.mode not in _MODES:
                raise InvalidData(
                    f"{path} has pixels of kind {image.mode}, not of 8 bits",
                    "Convert it, with the range that the X-rays use as 0 to 255.",
                )
            return image.convert("L")
    except InvalidData:
        raise
    except Exception as error:  # Pillow raises whatever its decoders do
        raise InvalidData(f"{path} is no readable picture: {error}", "Restore it, or remove it.") from error

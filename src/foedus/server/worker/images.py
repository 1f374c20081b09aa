"""Copies the images that an owner approved out of the private data, so that pages can show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
from sqlalchemy import select

from foedus.apps.datasets.loading import Loaded, load
from foedus.apps.explain.pictures import example_png
from foedus.core.errors import FoedusError, InvalidData
from foedus.server.db import ApprovedImage, ImageRequest
from foedus.server.platform import Platform
from foedus.server.services.images import MOST_IMAGES

_MOST_BYTES: Final = 1 << 20  # of one image
_LONGEST_CAUSE: Final = 4000


@dataclass(frozen=True, slots=True)
class _Copy:
    """One image, ready for its row."""

    place: int
    label: int | None
    width: int
    height: int
    png: bytes
    example: bytes


def copy_images(platform: Platform, request_id: int) -> None:
    """Copy the images of a request that is `copying`: it is then `ready`, or `refused` with a cause.

    What is there already stays as it is; what was withdrawn meanwhile is not copied.
    """
    with platform.reading() as db:
        request = db.get(ImageRequest, request_id)
        if request is None or request.state != "copying":
            return
        owner, name = request.dataset.owner.name, request.dataset.name
        places, per_label = [int(one) for one in request.places], request.per_label
        held = select(ApprovedImage.place).where(ApprovedImage.dataset_id == request.dataset_id)
        known = set(db.scalars(held))
    copies: Sequence[_Copy] = ()
    cause = ""
    try:
        loaded = load(platform.user_home(owner), name)
        wanted = sorted({*places, *_first(loaded, per_label)} - known)
        if len(known) + len(wanted) > MOST_IMAGES:
            raise InvalidData(f"these would be more than {MOST_IMAGES} images of one dataset")
        copies = [_copy(loaded, place) for place in wanted]
    except FoedusError as error:
        cause = f"{error.message}. {error.hint}".strip()
    with platform.writing() as db:
        request = db.get(ImageRequest, request_id, with_for_update=True)
        if request is None or request.state != "copying" or request.dataset.state != "ready":
            return
        request.state, request.cause = ("refused", cause[:_LONGEST_CAUSE]) if cause else ("ready", "")
        for one in copies:
            values: dict[str, Any] = {key: getattr(one, key) for key in _Copy.__slots__}
            db.add(ApprovedImage(dataset_id=request.dataset_id, **values))


def _first(loaded: Loaded, per_label: int) -> list[int]:
    """Return the places of the first examples of each label."""
    if not per_label:
        return []
    if loaded.labels is None:
        raise InvalidData("the dataset has no labels to choose by", "Give the places of examples.")
    labels = np.unique(loaded.labels)
    return [int(place) for label in labels for place in np.flatnonzero(loaded.labels == label)[:per_label]]


def _copy(loaded: Loaded, place: int) -> _Copy:
    if place >= len(loaded.values):
        raise InvalidData(
            f"the dataset has no example {place:,}: its places are 0 to {len(loaded.values) - 1:,}"
        )
    example = np.ascontiguousarray(loaded.values[place])
    if example.nbytes > _MOST_BYTES:
        raise InvalidData(
            f"its images are larger than {_MOST_BYTES:,} bytes, too large to be shown",
            "Register the data with the step `resize`.",
        )
    out = BytesIO()
    np.save(out, example, allow_pickle=False)
    label = None if loaded.labels is None else int(loaded.labels[place])
    height, width = example.shape[-2:] if example.ndim > 1 else (0, 0)
    return _Copy(place, label, width, height, example_png(example), out.getvalue())

"""Images that a site shows, and heat maps over them, as a worker would have written them."""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session
from tests.browser.filled_chain import cid

from foedus.apps.explain.pictures import example_png, map_png
from foedus.server.db import ApprovedImage, Explanation

_SIDE = 64


def fill_images(db: Session, dataset_id: int) -> None:
    """Approve three images of a dataset; of the run `lungs-3`, explain its versions over the first one.

    Over the second one a map is being computed, over the third nobody has asked for any.
    """
    images = [_image(dataset_id, place) for place in (3, 8, 21)]
    db.add_all(images)
    db.flush()
    for version in range(3):
        heat = _blob(20 + 6 * version, 22, 14 - 3 * version)
        mask = np.maximum(_blob(32, 18, 9), _blob(32, 46, 9))
        db.add(_explained(images[0].id, cid(100 + version), heat, mask))
    db.add(Explanation(image_id=images[1].id, cid=cid(102), wanted=-1, layer=""))


def _image(dataset_id: int, place: int) -> ApprovedImage:
    lungs = np.maximum(_blob(30, 18 + place % 3, 11), _blob(33, 46, 11))
    body = (40 + 130 * _blob(34, 32, 30) - 110 * lungs).clip(0, 255).astype(np.uint8)
    out = BytesIO()
    np.save(out, body)
    return ApprovedImage(
        dataset_id=dataset_id,
        place=place,
        label=1,
        width=_SIDE,
        height=_SIDE,
        png=example_png(body),
        example=out.getvalue(),
    )


def _explained(
    image_id: int, model: str, heat: npt.NDArray[np.float64], mask: npt.NDArray[np.float64]
) -> Explanation:
    found: dict[str, Any] = {
        "layer": "up.2.3",
        "layers": ["down.0.0", "up.2.3", "head"],
        "target": 1,
        "predicted": 1,
        "shares": [0.71, 0.29],
        "share": 0.29,
        "peak": 3.4,
        "is_mask": True,
        "labels": [0.2, 0.8],
        "hot_share": float((heat >= 0.5).mean()),
        "hottest": "top left",
        "version": 2,
    }
    return Explanation(
        image_id=image_id,
        cid=model,
        wanted=-1,
        layer="",
        state="ready",
        found=found,
        heat=map_png(heat),
        mask=map_png(mask),
    )


def _blob(row: float, column: float, size: float) -> npt.NDArray[np.float64]:
    """Return a hill of height 1 (H, W)."""
    down, across = np.mgrid[0:_SIDE, 0:_SIDE]
    return np.asarray(np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * size**2)))

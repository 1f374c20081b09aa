"""Reads data of each kind into arrays. Nothing of it is trusted: sizes are checked before memory is taken.

idx      a folder with MNIST's four idx files, or two of them; plain or .gz
images   a folder with a folder of PNG or JPEG files per class; or without classes, just the files
arrays   one .npy file, or one .npz with `images` (or `inputs`, `values`, `x`) and `labels` (or `y`), and
         `masks` or `fields` where that is what a model should answer
table    one CSV file with a header and numbers; a column `label` is the class
frames   the output of SIM_REACTION_DIFFUSION, or a folder of such outputs; labels are the regimes
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foedus.apps.datasets import _arrays, _idx, _images, _table, frames
from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import Each, Source
from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import hint_for


@dataclass(frozen=True, slots=True)
class Format:
    """One kind: which of the files belong to the data, and how they are read."""

    pick: Callable[[Listing], Sequence[str]]
    read: Callable[[Listing, Each], Source]


def formats() -> dict[str, Format]:
    """Return all kinds by name."""
    return {
        "idx": Format(_idx.pick, _idx.read),
        "images": Format(_images.pick, _images.read),
        "arrays": Format(_arrays.pick, _arrays.read),
        "table": Format(_table.pick, _table.read),
        "frames": Format(frames.pick, frames.read),
    }


def find_format(kind: str) -> Format:
    """Look a kind up. Raises `InvalidSpec` naming the nearest."""
    known = formats()
    if kind not in known:
        raise InvalidSpec(f"there is no kind of dataset {kind[:40]!r}", hint_for(kind, known))
    return known[kind]

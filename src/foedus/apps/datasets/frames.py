"""Frames of simulations: the output of SIM_REACTION_DIFFUSION, where it lies."""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from foedus.apps.datasets._arrays import read_npy
from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.sources import Each, Source, Values
from foedus.apps.gray_scott.names import FIELDS, KIND, METADATA, REGIMES
from foedus.core.errors import InvalidData

_MOST_METADATA_BYTES: Final = 64 << 20


def pick(listing: Listing) -> Sequence[str]:
    """Return the files of each simulation below the folder."""
    folders = _folders(listing)
    if not folders:
        raise InvalidData(
            f"there is no {METADATA} of a simulation", "Name the output folder of its batch job."
        )
    wanted = [f"{folder}{name}" for folder in folders for name in (METADATA, *_arrays())]
    missing = [name for name in wanted if name not in listing.names]
    if missing:
        raise InvalidData(f"{missing[0]} is missing")
    return wanted


def read(listing: Listing, each: Each) -> Source:
    """Read all frames: both fields as channels (N, 2, size, size), and the regimes as labels."""
    values, labels = [], []
    for folder in _folders(listing):
        metadata = metadata_of(listing, f"{folder}{METADATA}")
        frames = np.stack([field_of(listing, f"{folder}{name}") for name in _arrays()], axis=1)
        if list(frames.shape[:1] + frames.shape[2:]) != metadata["shape"]:
            raise InvalidData(f"{folder}{METADATA} describes other frames than there are")
        values.append(frames)
        labels += [REGIMES.index(name) for name in metadata["regimes"]]
    if len({(one.shape[1:], one.dtype) for one in values}) > 1:
        raise InvalidData("the simulations have grids of different sizes", "Register them one by one.")
    return Source(np.concatenate(values), np.array(labels), REGIMES)


def _folders(listing: Listing) -> list[str]:
    return [name.removesuffix(METADATA) for name in listing.names if f"/{name}".endswith(f"/{METADATA}")]


def _arrays() -> list[str]:
    return [f"{field}.npy" for field in FIELDS]


def field_of(listing: Listing, name: str) -> Values:
    """Read one field's frames (frames, size, size)."""
    with listing.open(name) as file:
        return read_npy(file, name, listing.sizes[listing.names.index(name)])


def metadata_of(listing: Listing, name: str) -> dict[str, Any]:
    """Read the metadata of a simulation. Raises `InvalidData` when they are none."""
    with listing.open(name) as file:
        data = file.read(_MOST_METADATA_BYTES + 1)
    try:
        found = json.loads(data) if len(data) <= _MOST_METADATA_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != KIND or not {"shape", "regimes"} <= found.keys():
        raise InvalidData(f"{name} is not the metadata of a reaction-diffusion simulation")
    if not isinstance(found["regimes"], list) or not all(one in REGIMES for one in found["regimes"]):
        raise InvalidData(f"{name} names regimes that are none")
    return found

"""Frames of simulations: the output of SIM_REACTION_DIFFUSION, where it lies."""

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foedus.apps.datasets._arrays import read_npy
from foedus.apps.datasets.listing import Listing
from foedus.apps.datasets.source import Each, Source, Values
from foedus.apps.gray_scott.names import FIELDS, KIND, METADATA, REGIMES
from foedus.core.errors import InvalidData

_MOST_METADATA_BYTES: Final = 64 << 20

_Kind = Annotated[str, Field(pattern=f"^{KIND}$")]
_Regime = Annotated[str, Field(pattern=f"^({'|'.join(REGIMES)})$")]
_Range = tuple[float, float]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Parameters(_Section):
    """What pictures tell of a simulation's parameters."""

    F: float
    k: float
    Du: float
    Dv: float
    dt: float


class Ranges(_Section):
    """Smallest and largest value of both fields."""

    u: _Range
    v: _Range


class Metadata(_Section):
    """What describes the frames of a simulation, as far as it is used; `shape` is (frames, size, size)."""

    kind: _Kind
    parameters: Parameters
    shape: tuple[int, int, int]
    steps: tuple[int, ...]
    ranges: Ranges
    regimes: tuple[_Regime, ...]
    regime: _Regime

    @model_validator(mode="after")
    def _describes_each_frame(self) -> "Metadata":
        if not len(self.steps) == len(self.regimes) == self.shape[0]:
            raise ValueError("there must be one step and one regime for each frame")
        return self


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
        fields = [field_of(listing, f"{folder}{name}", metadata) for name in _arrays()]
        values.append(np.stack(fields, axis=1))
        labels += [REGIMES.index(name) for name in metadata.regimes]
    if len({(one.shape[1:], one.dtype) for one in values}) > 1:
        raise InvalidData("the simulations have grids of different sizes", "Register them one by one.")
    return Source(np.concatenate(values), np.array(labels), REGIMES)


def _folders(listing: Listing) -> list[str]:
    return [name.removesuffix(METADATA) for name in listing.names if f"/{name}".endswith(f"/{METADATA}")]


def _arrays() -> list[str]:
    return [f"{field}.npy" for field in FIELDS]


def field_of(listing: Listing, name: str, metadata: Metadata) -> Values:
    """Read one field's frames (frames, size, size). Raises `InvalidData` for others than those described."""
    with listing.open(name) as file:
        frames = read_npy(file, name, listing.sizes[listing.names.index(name)])
    if frames.shape != metadata.shape or frames.dtype.kind != "f":
        raise InvalidData(f"{name} holds other frames than {METADATA} describes")
    return frames


def metadata_of(listing: Listing, name: str) -> Metadata:
    """Read the metadata of a simulation. Raises `InvalidData` when they are none."""
    with listing.open(name) as file:
        data = file.read(_MOST_METADATA_BYTES + 1)
    if len(data) > _MOST_METADATA_BYTES:
        raise InvalidData(f"{name} is larger than {_MOST_METADATA_BYTES:,} bytes")
    try:
        return Metadata.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidData(
            f"{name} is not the metadata of a reaction-diffusion simulation: {where}: {first['msg']}"
        ) from error

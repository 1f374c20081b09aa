"""Frames of simulations of two fields, as pairs of a state and its change some frames on."""

import json
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData
from foedus.learn.datasets.image_set import ImageSet

FIELDS: Final = ("u", "v")
CHANGE_SCALE: Final = 20.0  # brings changes of a few hundredths to the order of 1, which training wants
RATES: Final = {"F": (0.03, 0.01), "k": (0.058, 0.005)}
"""Middle and spread of Gray–Scott's rates with which patterns form: the same for all, whatever one has."""

_Values = npt.NDArray[np.float32]
_RATES_HINT: Final = "It lies beside the fields in the output of SIM_REACTION_DIFFUSION."
_HINT: Final = "Each GROUP/train/NAME and GROUP/test/NAME holds u.npy and v.npy: (frames, height, width)."


def frames(folder: Path, ahead: int, with_rates: bool = False) -> ImageSet:
    """Return pairs from simulations: `GROUP/train/NAME/{u,v}.npy`, and `GROUP/test/NAME/…` of other runs.

    Images are (N, 2, H, W) float32, the fields as they are; targets (N, 2, H, W) float32 are `CHANGE_SCALE`
    times what the fields change within `ahead` frames. `with_rates` adds F and k of each simulation, from the
    `metadata.json` beside its fields, as two channels that are the same everywhere. Labels number the groups
    by the alphabet. Simulations are either for training or for the test, since frames of one and the same are
    much alike. Raises `InvalidData` naming the folder or file that will not do.
    """
    groups = [path.name for path in _folders(folder)] if folder.is_dir() else []
    if not groups:
        raise InvalidData(f"there is no folder of simulations in {folder}", _HINT)
    states, changes, labels = [], [], []
    train_count = 0
    for part in ("train", "test"):
        for label, group in enumerate(groups):
            place = folder / group / part
            runs = _folders(place) if place.is_dir() else []
            if not runs:
                raise InvalidData(f"there is no simulation in {place}", _HINT)
            for run in runs:
                fields = _fields(run, ahead)
                states.append(_with_rates(fields[:-ahead], run) if with_rates else fields[:-ahead])
                changes.append(_changes(fields, ahead, run))
                labels += [label] * len(states[-1])
        if part == "train":
            train_count = len(labels)
    shapes = {one.shape[1:] for one in states}
    if len(shapes) > 1:
        raise InvalidData(f"grids have different sizes: {', '.join(map(str, sorted(shapes)))}")
    return ImageSet(
        images=np.concatenate(states),
        labels=np.array(labels, np.int64),
        label_count=len(groups),
        train_count=train_count,
        source=f"simulations of {', '.join(groups)}, {ahead} frames ahead",
        targets=np.concatenate(changes),
    )


def _folders(folder: Path) -> list[Path]:
    """Return the folders in it, sorted; what others hide there, or have not finished, is none of ours."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _fields(run: Path, ahead: int) -> _Values:
    """Return (frames, 2, H, W)."""
    found = [_read(run / f"{name}.npy") for name in FIELDS]
    if found[0].shape != found[1].shape or len(found[0]) <= ahead:
        raise InvalidData(
            f"{run} has {len(found[0])} and {len(found[1])} frames of {found[0].shape[1:]} and "
            f"{found[1].shape[1:]}: need alike, and more than {ahead}",
            _HINT,
        )
    return np.stack(found, axis=1)


def _changes(fields: _Values, ahead: int, run: Path) -> _Values:
    with np.errstate(over="ignore"):
        found = (fields[ahead:] - fields[:-ahead]) * np.float32(CHANGE_SCALE)
    if not np.isfinite(found).all():
        raise InvalidData(f"the fields of {run} change by more than 32 bits can hold")
    return found


def _with_rates(states: _Values, run: Path) -> _Values:
    """Return (frames, 4, H, W): the states, and the standardised rates."""
    try:
        told = json.loads((run / "metadata.json").read_bytes())["parameters"]
        rates = [(float(told[name]) - middle) / spread for name, (middle, spread) in RATES.items()]
        is_told = all(type(told[name]) in (int, float) for name in RATES)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidData(f"{run / 'metadata.json'} does not tell F and k: {error}", _RATES_HINT) from error
    if not is_told or not np.isfinite(rates).all():
        raise InvalidData(f"{run / 'metadata.json'} tells rates that are no finite numbers", _RATES_HINT)
    planes = np.array(rates, np.float32)[None, :, None, None]
    shape = (len(states), len(rates), *states.shape[2:])
    return np.concatenate([states, np.broadcast_to(planes, shape)], axis=1)


def _read(path: Path) -> _Values:
    try:
        with path.open("rb") as file:
            values: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile, MemoryError) as error:
        raise InvalidData(f"cannot read {path}: {error}", _HINT) from error
    if not isinstance(values, np.ndarray):
        raise InvalidData(f"cannot read {path}: it holds several arrays", _HINT)
    if values.ndim != 3 or not values.size or values.dtype.kind != "f":
        raise InvalidData(f"{path} holds {values.dtype} of shape {values.shape}", _HINT)
    with np.errstate(over="ignore"):
        found = values.astype(np.float32, copy=False)
    if not np.isfinite(found).all():
        raise InvalidData(f"{path} holds no finite numbers of 32 bits", _HINT)
    return found

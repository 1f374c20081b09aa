"""Whether a private dataset suits a model: its metadata tell, so nobody queues to learn that it does not."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from foedus.apps.datasets.catalogue import Dataset, find_dataset
from foedus.apps.parameters import Value
from foedus.core.errors import InvalidData, ObjectMissing
from foedus.core.ids import Cid

if TYPE_CHECKING:
    from foedus.rounds.home import Home
    from foedus.store import DirectoryStore

_LARGEST_BYTE: Final = np.iinfo(np.uint8).max


def check(home: "Home", values: Mapping[str, Value]) -> None:
    """Raise `InvalidData` where the model of these parameters of FL_PREDICT cannot predict their dataset.

    Raises `ObjectMissing` and `ObjectDamaged` for the model.
    """
    from foedus.learn.models import model_info
    from foedus.rounds.documents import ModelSpec, fetch
    from foedus.store import get_manifest

    store = store_of(home)
    spec = fetch(store, get_manifest(store, Cid(str(values["model"]))).model, ModelSpec)
    require_fit(find_dataset(home, str(values["dataset"])), model_info(spec.name).input_shape)


def store_of(home: "Home") -> "DirectoryStore":
    """Open the store. Raises `ObjectMissing` where there is none: opening would make one."""
    from foedus.store import DirectoryStore

    if not home.store.is_dir():
        raise ObjectMissing(f"there is no store in {home.root}", "Is that the home folder of the run?")
    return DirectoryStore(home.store)


def require_fit(dataset: Dataset, input_shape: tuple[int, int, int]) -> None:
    """Raise `InvalidData`, with the steps that would help, for examples that do not fit (C, H, W)."""
    is_normalised = any(step["step"] == "normalise" for step in dataset.recipe)
    if not _are_bytes(dataset) and not is_normalised:
        raise InvalidData(
            f"examples are {dataset.dtype}: what a model takes for black and white cannot be told from that",
            "Save them as whole numbers from 0 to 255, or register them with the step normalise.",
        )
    if dataset.shape != input_shape and (1, *dataset.shape) != input_shape:
        raise InvalidData(
            f"examples are {dataset.dtype} of shape {dataset.shape}, the model wants {input_shape}",
            _remedy(dataset.shape, input_shape),
        )


def _are_bytes(dataset: Dataset) -> bool:
    smallest, largest = dataset.ranges
    return np.dtype(dataset.dtype).kind in "ui" and smallest >= 0 and largest <= _LARGEST_BYTE


def _remedy(shape: tuple[int, ...], input_shape: tuple[int, int, int]) -> str:
    channels, height, width = input_shape
    steps, shown = [], shape
    if len(shape) == 3 and shape[0] == 3 and channels == 1:
        steps, shown = ["--step grey"], shape[1:]
    if len(shown) < 2 or (len(shown) == 3 and shown[0] != channels) or (len(shown) == 2 and channels != 1):
        return "No step turns these examples into what the model was trained on."
    if shown[-2:] != (height, width):
        steps.append(f'--step "resize height={height} width={width}"')
    return f"Register the data again, under another name, with {' '.join(steps)}."

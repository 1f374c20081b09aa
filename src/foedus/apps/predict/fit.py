"""Whether a private dataset suits a model: its metadata tell, so nobody queues to learn that it does not."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from foedus.apps.datasets.catalogue import Dataset, find_dataset
from foedus.apps.parameters import Value
from foedus.core.errors import InvalidData, ObjectMissing
from foedus.core.ids import Cid
from foedus.learn.shapes import InputShape, fits

if TYPE_CHECKING:
    from foedus.learn.models import ModelInfo
    from foedus.rounds.documents import ModelSpec
    from foedus.rounds.home import Home
    from foedus.store import DirectoryStore

_LARGEST_BYTE: Final = np.iinfo(np.uint8).max
_STEPS: Final = (2, 4, 8, 16, 32, 64, 128)  # multiples of these are sides that can be halved again and again
_LONGEST_CAUSE: Final = 200
_PREDICTED: Final = ("classification", "segmentation", "regression")


def check(home: "Home", values: Mapping[str, Value]) -> None:
    """Raise `InvalidData` where the model of these parameters of FL_PREDICT cannot predict their dataset.

    Raises `ObjectMissing` and `ObjectDamaged` for the model.
    """
    from foedus.learn.models import model_info
    from foedus.rounds.documents import ModelSpec, fetch
    from foedus.store import get_manifest

    store = store_of(home)
    spec = fetch(store, get_manifest(store, Cid(str(values["model"]))).model, ModelSpec)
    info = model_info(spec.name)
    dataset = find_dataset(home, str(values["dataset"]))
    require_fit(dataset, info)
    if None in info.input_shape:
        require_size(spec, dataset)


def store_of(home: "Home") -> "DirectoryStore":
    """Open the store. Raises `ObjectMissing` where there is none: opening would make one."""
    from foedus.store import DirectoryStore

    if not home.store.is_dir():
        raise ObjectMissing(f"there is no store in {home.root}", "Is that the home folder of the run?")
    return DirectoryStore(home.store)


def require_fit(dataset: Dataset, info: "ModelInfo") -> None:
    """Raise `InvalidData`, with the steps that would help, for examples that a model is not made for."""
    if info.objective.name not in _PREDICTED:
        raise InvalidData(
            f"model {info.name!r} gives {info.objective.name}; FL_PREDICT predicts labels, masks and fields",
            "Use it from Python: `foedus model pull`, then `foedus.learn.models.build_model`.",
        )
    _require_values(dataset, info)
    if not fits(dataset.shape, info.input_shape):
        raise InvalidData(
            f"examples are {dataset.dtype} of shape {dataset.shape}, the model wants {info.input_shape}",
            _remedy(dataset.shape, info.input_shape),
        )


def require_size(spec: "ModelSpec", dataset: Dataset) -> None:
    """Raise `InvalidData` for sides that a model's layers cannot take, such as odd ones that they halve.

    Only shapes are computed, and no weights are needed.
    """
    height, width = dataset.shape[-2:]
    cause = _fault_of(spec, height, width)
    if not cause:
        return
    sides = ((-(-height // step) * step, -(-width // step) * step) for step in _STEPS)
    better = next((one for one in sides if not _fault_of(spec, *one)), None)
    raise InvalidData(
        f"the model cannot compute examples of {height} × {width}: {cause}",
        "Choose another model."
        if better is None
        else "Register the data again, under another name, with "
        f'--step "resize height={better[0]} width={better[1]}".',
    )


def are_bytes(dataset: Dataset) -> bool:
    """Whether the examples are whole numbers from 0 to 255, in whatever type."""
    smallest, largest = dataset.ranges
    return np.dtype(dataset.dtype).kind in "ui" and smallest >= 0 and largest <= _LARGEST_BYTE


def _require_values(dataset: Dataset, info: "ModelInfo") -> None:
    if are_bytes(dataset):
        return
    if info.objective.name == "regression":  # fields mean what their numbers say
        if np.dtype(dataset.dtype).kind != "f":
            raise InvalidData(
                f"examples are {dataset.dtype}, and a model of fields takes floating-point numbers",
                "Save them as float32, or as whole numbers from 0 to 255.",
            )
    elif not any(step["step"] == "normalise" for step in dataset.recipe):
        raise InvalidData(
            f"examples are {dataset.dtype}: what a model takes for black and white cannot be told from that",
            "Save them as whole numbers from 0 to 255, or register them with the step normalise.",
        )


def _fault_of(spec: "ModelSpec", height: int, width: int) -> str:
    """Say why a model's layers cannot take examples of a size; nothing where they can."""
    import torch

    from foedus.learn.models import build_model, model_info

    channels = model_info(spec.name).input_shape[0]
    try:
        with torch.inference_mode(), torch.device("meta"):
            build_model(spec.name, spec.args).eval()(torch.empty(1, channels, height, width))
    except NotImplementedError:  # some operation is not for shapes alone: the batch job will tell
        return ""
    except RuntimeError as error:
        return str(error).splitlines()[0][:_LONGEST_CAUSE]
    return ""


def _remedy(shape: tuple[int, ...], input_shape: InputShape) -> str:
    channels, height, width = input_shape
    steps, shown = [], shape
    if len(shape) == 3 and shape[0] == 3 and channels == 1:
        steps, shown = ["--step grey"], shape[1:]
    if len(shown) < 2 or (len(shown) == 3 and shown[0] != channels) or (len(shown) == 2 and channels != 1):
        return "No step turns these examples into what the model was trained on."
    if None not in (height, width) and shown[-2:] != (height, width):
        steps.append(f'--step "resize height={height} width={width}"')
    return f"Register the data again, under another name, with {' '.join(steps)}."

"""What a model is given: examples as training would give them, in batches that bound the memory taken."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from foedus.apps.datasets.loading import Loaded
from foedus.apps.predict.fit import are_bytes
from foedus.apps.predict.version import Version
from foedus.core.errors import InvalidData, TaskFailed
from foedus.learn.examples import Examples, Targets, examples_for, prepare_images
from foedus.learn.models import ModelInfo
from foedus.learn.objectives import CLASSIFICATION

_MOST_EXAMPLES: Final = 256  # in a batch
_MOST_PIXELS: Final = 1 << 18  # in a batch of more than one example
_LONGEST_CAUSE: Final = 300

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows of a dataset, what the model answered, and what it should have, where that is known."""

    rows: Rows
    outputs: torch.Tensor
    targets: torch.Tensor


def predicted(
    model: Version,
    loaded: Loaded,
    rows: Rows,
    targets: Targets | None,
    on_done: Callable[[int], None] = lambda done: None,
) -> Iterator[Batch]:
    """Yield the model's outputs for the rows, in their order; without `targets`, those of batches are zeros.

    Raises `InvalidData` for examples that the model's layers cannot take, `TaskFailed` for outputs that are
    not finite.
    """
    size = _batch_size(loaded.dataset.shape)
    for start in range(0, len(rows), size):
        picked = rows[start : start + size]
        examples = _examples(loaded, picked, model.info, targets)
        for inputs, wanted in examples.batches(torch.arange(len(picked)), len(picked)):
            yield Batch(picked, _outputs(model, inputs), wanted)
        on_done(start + len(picked))


def _batch_size(shape: tuple[int, ...]) -> int:
    return max(1, min(_MOST_EXAMPLES, _MOST_PIXELS // math.prod(shape[-2:])))


def _examples(loaded: Loaded, rows: Rows, info: ModelInfo, targets: Targets | None) -> Examples:
    """Return the rows as training would give them to the model, unless their recipe has normalised them."""
    wanted = np.uint8 if are_bytes(loaded.dataset) else np.float32
    values: npt.NDArray[Any] = loaded.values[rows].astype(wanted, copy=False)
    nothing = np.zeros(len(rows), np.int64)
    if info.objective is not CLASSIFICATION:
        truth = np.zeros((len(rows), 1, 1), np.uint8) if targets is None else targets[rows]
        return examples_for(info, values, nothing, truth)
    if values.dtype == np.uint8:
        return prepare_images(values, nothing, info.input_shape, info.channels_last)
    shape = (len(values), info.input_shape[0], *values.shape[-2:])
    return Examples(torch.tensor(values.reshape(shape)), torch.tensor(nothing), info.channels_last)


def _outputs(model: Version, inputs: torch.Tensor) -> torch.Tensor:
    try:
        with torch.inference_mode():
            outputs: torch.Tensor = model.network(inputs)
    except (RuntimeError, MemoryError) as error:  # sides that its layers cannot halve, too little memory
        raise InvalidData(
            f"the model cannot compute examples of shape {tuple(inputs.shape[1:])}: "
            f"{str(error)[:_LONGEST_CAUSE]}",
            "Register the data again in another size, or ask for more memory.",
        ) from error
    if not bool(torch.isfinite(outputs).all()):
        raise TaskFailed("the model answers with numbers that are not finite", "Choose another version.")
    return outputs

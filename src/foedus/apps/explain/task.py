"""Answers why a model says what it says about an image: `python -m foedus.apps.explain.task FOLDER`.

The folder holds `order.json` and the images as `.npy`. Each answer is a file of its own, so those that are
there count even when this process is killed over the next one. It is a process of its own because a model may
need more memory or time than whoever asks can spare.
"""

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from foedus.apps.explain.order import ORDER, ExplainOrder, Place, Question
from foedus.apps.explain.pictures import map_png
from foedus.apps.predict.version import open_version
from foedus.core.errors import FoedusError, InvalidData, UnsupportedModel
from foedus.core.ids import Cid
from foedus.learn.examples import examples_for
from foedus.learn.explain import HeatMap, convolutions, explain
from foedus.learn.models import ModelInfo
from foedus.learn.objectives import CLASSIFICATION, LABELLED_SEGMENTATION, REGRESSION
from foedus.learn.process import prepare_worker
from foedus.learn.shapes import fits
from foedus.rounds.home import read_json, write_json
from foedus.store import DirectoryStore

_HOT: Final = 0.5
_MOST_SHARES: Final = 1000  # that are written down
_LONGEST_CAUSE: Final = 500
_MOST_LAYERS: Final = 200
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


def run(folder: Path) -> None:
    """Answer all questions of a folder's order, one after the other."""
    prepare_worker()
    order = ExplainOrder.from_json(read_json(folder / ORDER), ORDER)
    store = DirectoryStore(Path(order.store))
    for question in order.questions:
        place = Place(folder, question.id)
        try:
            found = _answer(store, question, np.load(folder / question.example, allow_pickle=False), place)
        except FoedusError as error:
            found = {"cause": f"{error.message}. {error.hint}".strip()}
        except (RuntimeError, MemoryError) as error:  # sides that its layers cannot halve, too little memory
            found = {"cause": f"the model cannot compute this image: {str(error)[:_LONGEST_CAUSE]}"}
        write_json(place.answer, found)


def _answer(
    store: DirectoryStore, question: Question, example: npt.NDArray[Any], place: Place
) -> dict[str, Any]:
    model = open_version(store, Cid(question.cid))
    layers = list(convolutions(model.network))
    inputs = _inputs(example, model.info)
    is_labelled = model.info.objective is LABELLED_SEGMENTATION
    found = explain(model.network, inputs, question.target, question.layer or None, is_labelled)
    place.heat.write_bytes(map_png(found.heat.numpy()))
    if found.mask is not None:
        place.mask.write_bytes(map_png(found.mask.numpy()))
    return {"found": {**_figures(found), "layers": layers[:_MOST_LAYERS], "version": model.version}}


def _inputs(example: npt.NDArray[Any], info: ModelInfo) -> torch.Tensor:
    """Return the example as training gives it to the model, unless its recipe has normalised it."""
    if info.objective is REGRESSION:
        raise UnsupportedModel(f"model {info.name!r} predicts fields", "Heat maps are of classes and masks.")
    if not fits(example.shape, info.input_shape):
        raise InvalidData(f"the image is of shape {example.shape}, the model wants {info.input_shape}")
    if info.objective is CLASSIFICATION and example.dtype != np.uint8:
        shape = (1, info.input_shape[0], *example.shape[-2:])
        return torch.tensor(example, dtype=torch.float32).reshape(shape)
    no_mask = np.zeros((1, *example.shape[-2:]), np.uint8)
    return examples_for(info, example[None], np.zeros(1, np.int64), no_mask).inputs


def _figures(found: HeatMap) -> dict[str, Any]:
    heat = found.heat.numpy()
    return {
        "layer": found.layer,
        "target": found.target,
        "predicted": found.predicted,
        "shares": list(found.shares[:_MOST_SHARES]),
        "share": found.shares[found.target],
        "peak": found.peak,
        "is_mask": found.mask is not None,
        "labels": list(found.labels[:_MOST_SHARES]),
        "hot_share": float((heat >= _HOT).mean()),
        "hottest": _where(heat) if found.peak > 0 else "",
    }


def _where(heat: npt.NDArray[np.float32]) -> str:
    """Say in words where the heat's centre is."""
    total = float(heat.sum(dtype=np.float64))
    down = float((heat.sum(axis=1, dtype=np.float64) * (np.arange(heat.shape[0]) + 0.5)).sum()) / total
    across = float((heat.sum(axis=0, dtype=np.float64) * (np.arange(heat.shape[1]) + 0.5)).sum()) / total
    row, column = (min(2, int(3 * at / size)) for at, size in zip((down, across), heat.shape, strict=True))
    return "centre" if (row, column) == (1, 1) else f"{_ROWS[row]} {_COLUMNS[column]}"


if __name__ == "__main__":
    run(Path(sys.argv[1]))

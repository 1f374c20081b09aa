"""FL_PREDICT as a batch job: predictions, scores where there are labels, and pictures, in `output/`.

The model comes from the store by the CID of its manifest, which names its weights and its architecture; the
data come from the home folder by their name. Nothing of either leaves this job folder.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from foedus.apps.datasets.loading import Loaded, load
from foedus.apps.order import Order, home_of
from foedus.apps.predict.pictures import draw_confusion, draw_examples
from foedus.core.canonical import Json
from foedus.core.errors import InvalidData, ObjectDamaged, ObjectMissing, TaskFailed, UpdateRefused
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import Examples, prepare_images
from foedus.learn.metrics import confusion, f1_per_label
from foedus.learn.models import ModelInfo, build_model, model_info
from foedus.learn.process import prepare_worker
from foedus.rounds.documents import ModelSpec, fetch
from foedus.rounds.home import Home
from foedus.store import DirectoryStore, Schema, TensorFile, TensorSpec, get_manifest

PREDICTIONS, EXAMPLES, CONFUSION = "predictions.csv", "examples.png", "confusion.png"

_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class _Model:
    """A version of a model, ready to predict."""

    network: nn.Module
    info: ModelInfo
    version: int


def run(folder: JobFolder) -> None:
    """Predict, score and draw, then write the result.

    Raises `ObjectMissing` and `ObjectDamaged` for the model, `InvalidData` for data that do not suit it.
    """
    order = Order.read(folder)
    prepare_worker(order.resources.cpus)
    values: dict[str, Any] = dict(order.parameters)
    home = home_of(folder)
    model = open_version(_store_of(home), Cid(values["model"]))
    loaded = load(home, values["dataset"])
    rows = loaded.rows(values["part"])[: values["limit"]]
    if not len(rows):
        raise InvalidData(f"the part {values['part']} of dataset {values['dataset']!r} is empty")
    chances = _chances(model, _examples(loaded, rows, model.info), folder)
    labels = None if loaded.labels is None else loaded.labels[rows]
    output = folder.make_output()
    _write_predictions(output / PREDICTIONS, rows, chances, labels)
    scores = {} if labels is None else _scores(labels, chances)
    _draw(output, loaded, rows, chances, scores)
    predicted = np.bincount(chances.argmax(axis=1), minlength=chances.shape[1]).tolist()
    folder.finish(
        {
            "model": values["model"],
            "version": model.version,
            "dataset": values["dataset"],
            "part": values["part"],
            "examples": len(rows),
            "predicted": predicted,
            "scores": scores or None,
        }
    )


def _store_of(home: Home) -> DirectoryStore:
    """Open the store; where there is none, opening would make one."""
    if not home.store.is_dir():
        raise ObjectMissing(f"there is no store in {home.root}", "Is that the home folder of the run?")
    return DirectoryStore(home.store)


def open_version(store: DirectoryStore, cid: Cid) -> _Model:
    """Build the model of a manifest, with its weights. Raises `ObjectMissing`, `ObjectDamaged`."""
    manifest = get_manifest(store, cid)
    spec = fetch(store, manifest.model, ModelSpec)
    params: dict[str, Any] = dict(manifest.algorithm.params)
    strategy = get_strategy(manifest.algorithm.name, params)
    schema = Schema({name: TensorSpec(one.dtype, tuple(one.shape)) for name, one in spec.tensors.items()})
    network = build_model(spec.name, spec.args)
    try:
        with store.open(manifest.weights) as file:
            weights = TensorFile(file, schema if strategy.has_fixed_shapes else None).read_all()
    except UpdateRefused as error:
        raise ObjectDamaged(f"the weights of {cid} do not fit the model: {error.message}") from error
    strategy.fit(network, weights)
    return _Model(network.eval(), model_info(spec.name), manifest.version)


def _examples(loaded: Loaded, rows: npt.NDArray[np.int64], info: ModelInfo) -> Examples:
    """Return the rows as training would give them to the model, unless their recipe has normalised them."""
    values = _as_bytes(loaded.values)[rows]  # all of them tell the range
    nothing = np.zeros(len(rows), np.int64)
    if values.dtype == np.uint8:
        return prepare_images(values, nothing, info.input_shape, info.channels_last)
    if not any(step["step"] == "normalise" for step in loaded.dataset.recipe):
        raise InvalidData(
            f"examples are {values.dtype}: what a model takes for black and white cannot be told from that",
            "Save them as whole numbers from 0 to 255, or register them with the step normalise.",
        )
    if values.shape[1:] != info.input_shape and (1, *values.shape[1:]) != info.input_shape:
        raise InvalidData(
            f"examples have the shape {values.shape[1:]}, the model wants {info.input_shape}",
            "Register the data with a step that makes them fit, e.g. resize.",
        )
    inputs = torch.tensor(values.reshape(-1, *info.input_shape), dtype=torch.float32)
    return Examples(inputs, torch.tensor(nothing), info.channels_last)


def _as_bytes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return whole numbers from 0 to 255 in the type that images have; other values as they are."""
    is_bytes = values.dtype.kind in "ui" and values.min() >= 0 and values.max() <= np.iinfo(np.uint8).max
    return values.astype(np.uint8, copy=False) if is_bytes else values


@torch.inference_mode()
def _chances(model: _Model, examples: Examples, folder: JobFolder) -> npt.NDArray[np.float64]:
    """Return the probability of each label for each example: (N, labels)."""
    found = []
    for inputs, _ in examples.batches(torch.arange(len(examples)), _BATCH):
        found.append(torch.softmax(model.network(inputs).double(), dim=1))
        folder.emit({"done": sum(len(one) for one in found), "total": len(examples)})
    chances = torch.cat(found).numpy()
    if not np.isfinite(chances).all():
        raise TaskFailed("the model answers with numbers that are not finite", "Choose another version.")
    return chances


def _scores(labels: npt.NDArray[np.int64], chances: npt.NDArray[np.float64]) -> dict[str, Json]:
    """Score as rounds do: macro F1 over all labels of the model. Raises `InvalidData` for labels it lacks."""
    counts = confusion(labels, chances.argmax(axis=1), chances.shape[1])
    each = f1_per_label(counts)
    surprise = -np.log(np.maximum(chances[np.arange(len(labels)), labels], np.finfo(np.float64).tiny))
    return {
        "f1": float(each.mean()),
        "accuracy": float(counts.trace() / counts.sum()),
        "loss": float(surprise.mean()),
        "f1_per_label": each.tolist(),
        "confusion": counts.tolist(),
    }


def _write_predictions(
    path: Path,
    rows: npt.NDArray[np.int64],
    chances: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64] | None,
) -> None:
    """Write one line an example: its row in the dataset after the recipe, prediction, probability, label."""
    predicted, best = chances.argmax(axis=1), chances.max(axis=1)
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "predicted", "probability", *([] if labels is None else ["label"])])
        for index, row in enumerate(rows.tolist()):
            told = [] if labels is None else [int(labels[index])]
            writer.writerow([row, int(predicted[index]), f"{best[index]:.6f}", *told])


def _draw(
    output: Path,
    loaded: Loaded,
    rows: npt.NDArray[np.int64],
    chances: npt.NDArray[np.float64],
    scores: Mapping[str, Json],
) -> None:
    labels = None if loaded.labels is None else loaded.labels[rows]
    (output / EXAMPLES).write_bytes(draw_examples(loaded.values[rows], chances, labels))
    if scores:
        names = loaded.names
        counts = np.array(scores["confusion"])
        texts = [names[label] if label < len(names) else str(label) for label in range(len(counts))]
        title = (
            f"accuracy {scores['accuracy']:.3f}, F1 {scores['f1']:.3f}, {math.ceil(counts.sum()):,} examples"
        )
        (output / CONFUSION).write_bytes(draw_confusion(counts, texts, title))

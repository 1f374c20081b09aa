"""FL_PREDICT as a batch job: predictions, scores where there are labels, and pictures, in `output/`.

The model comes from the store by the CID of its manifest, which names its weights and its architecture; the
data come from the home folder by their name. Nothing of either leaves this job folder.
"""

import csv
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
from foedus.apps.predict.fit import require_fit, store_of
from foedus.apps.predict.pictures import draw_confusion, draw_examples
from foedus.core.canonical import Json
from foedus.core.errors import InvalidData, ObjectDamaged, TaskFailed, UpdateRefused
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import Examples, prepare_images
from foedus.learn.metrics import confusion, f1_per_label
from foedus.learn.models import ModelInfo, build_model, model_info
from foedus.learn.process import prepare_worker
from foedus.rounds.documents import ModelSpec, fetch
from foedus.store import DirectoryStore, Schema, TensorFile, TensorSpec, get_manifest

PREDICTIONS, EXAMPLES, CONFUSION = "predictions.csv", "examples.png", "confusion.png"

F1: Final = "f1_of_labels_that_occur"
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
    model = open_version(store_of(home), Cid(values["model"]))
    loaded = load(home, values["dataset"])
    rows = loaded.rows(values["part"])[: values["limit"]]
    if not len(rows):
        raise InvalidData(f"the part {values['part']} of dataset {values['dataset']!r} is empty")
    chances = _chances(model, _examples(loaded, rows, model.info), folder)
    note = _why_unscored(loaded, chances.shape[1])
    labels = None if note or loaded.labels is None else loaded.labels[rows]
    output = folder.make_output()
    _write_predictions(output / PREDICTIONS, loaded, rows, chances)
    scores = {} if labels is None else _scores(labels, chances)
    _draw(output, loaded.values[rows], chances, labels, scores)
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
            "note": note or None,
        }
    )


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
    require_fit(loaded.dataset, info.input_shape)
    values = _as_bytes(loaded.values)[rows]  # all of them tell the range
    nothing = np.zeros(len(rows), np.int64)
    if values.dtype == np.uint8:
        return prepare_images(values, nothing, info.input_shape, info.channels_last)
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


def _why_unscored(loaded: Loaded, label_count: int) -> str:
    """Say why predictions cannot be compared with labels; nothing where they can."""
    if loaded.labels is None:
        return "no scores: the dataset has no labels"
    if loaded.names:  # numbered by the alphabet, which nobody asked when the model was trained
        return (
            "no scores: the dataset's classes have names, and the model knows its labels by number only; "
            f"to compare them, call the classes 0 to {label_count - 1} as the model does, and register again"
        )
    return ""


def _scores(labels: npt.NDArray[np.int64], chances: npt.NDArray[np.float64]) -> dict[str, Json]:
    """Score the predictions. Raises `InvalidData` for labels that the model lacks.

    Unlike the F1 of rounds, where all members must count alike, this one is the mean over labels that occur:
    no prediction is right or wrong about the others.
    """
    counts = confusion(labels, chances.argmax(axis=1), chances.shape[1])
    each, occurs = f1_per_label(counts), counts.sum(axis=1) > 0
    surprise = -np.log(np.maximum(chances[np.arange(len(labels)), labels], np.finfo(np.float64).tiny))
    return {
        F1: float(each[occurs].mean()),
        "accuracy": float(counts.trace() / counts.sum()),
        "loss": float(surprise.mean()),
        "f1_per_label": [float(score) if there else None for score, there in zip(each, occurs, strict=True)],
        "confusion": counts.tolist(),
    }


def _write_predictions(
    path: Path, loaded: Loaded, rows: npt.NDArray[np.int64], chances: npt.NDArray[np.float64]
) -> None:
    """Write one line an example: row in the dataset after the recipe, file, prediction, probability, label.

    Where classes have names, the class stands in place of the label: its number means nothing to the model.
    """
    predicted, best = chances.argmax(axis=1), chances.max(axis=1)
    has_files, told = (
        bool(loaded.files),
        [] if loaded.labels is None else ["class" if loaded.names else "label"],
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", *["file"] * has_files, "predicted", "probability", *told])
        for index, row in enumerate(rows.tolist()):
            place = [row, *([loaded.files[row]] if has_files else [])]
            writer.writerow([*place, int(predicted[index]), f"{best[index]:.6f}", *_label(loaded, row)])


def _label(loaded: Loaded, row: int) -> list[str | int]:
    if loaded.labels is None:
        return []
    label = int(loaded.labels[row])
    return [loaded.names[label] if loaded.names else label]


def _draw(
    output: Path,
    values: npt.NDArray[Any],
    chances: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64] | None,
    scores: Mapping[str, Json],
) -> None:
    (output / EXAMPLES).write_bytes(draw_examples(values, chances, labels))
    if scores:
        counts = np.array(scores["confusion"])
        occurring = int(counts.any(axis=1).sum())
        title = (
            f"accuracy {scores['accuracy']:.3f}, F1 {scores[F1]:.3f} over {occurring} labels, "
            f"{counts.sum():,} examples"
        )
        (output / CONFUSION).write_bytes(draw_confusion(counts, title))

"""Predictions of models that classify: a label and its probability for each example."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from foedus.apps.datasets.loading import Loaded
from foedus.apps.predict.inputs import Rows, predicted
from foedus.apps.predict.output import CONFUSION, EXAMPLES, table
from foedus.apps.predict.pictures import draw_confusion, draw_examples
from foedus.apps.predict.version import Version
from foedus.core.canonical import Json
from foedus.learn.metrics import confusion, f1_per_label

F1: Final = "f1_of_labels_that_occur"


def predict_labels(
    model: Version, loaded: Loaded, rows: Rows, place: Path, on_done: Callable[[int], None]
) -> dict[str, Json]:
    """Predict, score and draw into a folder; return the counts of labels, and scores where there are any."""
    batches = predicted(model, loaded, rows, None, on_done)
    chances = torch.cat([torch.softmax(one.outputs.double(), dim=1) for one in batches]).numpy()
    note = _why_unscored(loaded, chances.shape[1])
    labels = None if note or loaded.labels is None else loaded.labels[rows]
    scores = {} if labels is None else _scores(labels, chances)
    best, chance = chances.argmax(axis=1), chances.max(axis=1)
    with table(place, loaded, ["predicted", "probability"]) as add:
        for index, row in enumerate(rows.tolist()):
            add(row, [int(best[index]), f"{chance[index]:.6f}"])
    _draw(place, loaded.values[rows], chances, labels, scores)
    counts = np.bincount(best, minlength=chances.shape[1]).tolist()
    return {"predicted": counts, "scores": scores or None, "note": note or None}


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


def _draw(
    place: Path,
    values: npt.NDArray[Any],
    chances: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64] | None,
    scores: Mapping[str, Json],
) -> None:
    (place / EXAMPLES).write_bytes(draw_examples(values, chances, labels))
    if scores:
        counts = np.array(scores["confusion"])
        occurring = int(counts.any(axis=1).sum())
        title = (
            f"accuracy {scores['accuracy']:.3f}, F1 {scores[F1]:.3f} over {occurring} labels, "
            f"{counts.sum():,} examples"
        )
        (place / CONFUSION).write_bytes(draw_confusion(counts, title))

"""Scores of predictions. Macro F1 over the project's fixed label set is what gate, floor and ballot use."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData

Labels: TypeAlias = npt.NDArray[np.int64]


def confusion(truth: Labels, predicted: Labels, label_count: int) -> npt.NDArray[np.int64]:
    """Count examples by true label (row) and predicted label (column): (label_count, label_count).

    Raises `InvalidData` when there is no example, the lengths differ or a label lies outside the label set.
    """
    if truth.size == 0:
        raise InvalidData("there is no example to score", "Give an evaluation set with examples.")
    if truth.shape != predicted.shape:
        raise InvalidData(f"{truth.size} labels but {predicted.size} predictions")
    for labels in (truth, predicted):
        if labels.min() < 0 or labels.max() >= label_count:
            raise InvalidData(f"labels must lie in 0..{label_count - 1}, got {labels.min()}..{labels.max()}")
    flat = np.bincount(truth * label_count + predicted, minlength=label_count**2)
    return flat.reshape(label_count, label_count).astype(np.int64)


def f1_per_label(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return 2·TP / (2·TP + FP + FN) of each label of a confusion matrix; 0 where that is 0/0."""
    hits = counts.diagonal()
    involved = counts.sum(axis=0) + counts.sum(axis=1)  # = 2 TP + FP + FN
    scores = np.zeros(len(hits))
    np.divide(2 * hits, involved, out=scores, where=involved > 0)
    return scores


def macro_f1(truth: Labels, predicted: Labels, label_count: int) -> float:
    """Return the mean F1 over ALL labels of the project, also those without example. Raises `InvalidData`."""
    return float(f1_per_label(confusion(truth, predicted, label_count)).mean())

"""Predictions of models that answer with a mask or a field: a file for each example, scored by the truth."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from foedus.apps.datasets.loading import Loaded
from foedus.apps.predict.inputs import Batch, Rows, predicted
from foedus.apps.predict.output import EXAMPLES, table
from foedus.apps.predict.pictures import Strip, draw_strips, thinned
from foedus.apps.predict.version import Version
from foedus.core.canonical import Json
from foedus.core.errors import InvalidData
from foedus.learn.examples import Targets
from foedus.learn.objectives import (
    LABELLED_SEGMENTATION,
    REGRESSION,
    SEGMENTATION,
    Evaluation,
    Objective,
    label_logits,
)

_MAPS_NDIM: Final = 4  # (B, C, H, W)
_MOST_STRIPS: Final = 6  # in the picture
_LARGEST_BYTE: Final = 255

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """How the answers of an objective are written and told; an answer is that for one example."""

    objective: Objective
    name: str  # of one
    plural: str  # the folder they are written to, and what the dataset's true ones are called
    suffix: str
    columns: tuple[str, ...]
    scored: tuple[str, ...]  # columns where the truth is known
    answers: Callable[[torch.Tensor], _Array]  # of a batch of outputs: (B, C, H, W)
    encoded: Callable[[_Array], bytes]
    described: Callable[[torch.Tensor], tuple[float, ...]]  # the columns, of one example's outputs
    judged: Callable[[Evaluation], tuple[float, ...]]  # the scored columns
    totals: Callable[[Evaluation], dict[str, Json]]
    colours: str
    maps: Callable[[torch.Tensor], torch.Tensor] = lambda outputs: outputs  # what of the outputs answers
    averaged: int = 1  # of how many columns, from the first, the mean is told


def predict_maps(
    model: Version, loaded: Loaded, rows: Rows, place: Path, on_done: Callable[[int], None]
) -> dict[str, Json]:
    """Write an answer for each example into a folder, with table and picture; return the figures.

    Raises `InvalidData` for answers that are no masks or fields, and for true ones of another shape.
    """
    objective = model.info.objective
    form = _MASKS_AND_LABELS if objective is LABELLED_SEGMENTATION else _FORMS[objective.name]
    targets = _truth(loaded, form)
    tally = _Tally(form, loaded, rows, targets is not None)
    (place / form.plural).mkdir(mode=0o700)
    columns = [form.name, *form.columns, *(form.scored if targets is not None else ())]
    with table(place, loaded, columns) as add:
        for batch in predicted(model, loaded, rows, targets, on_done):
            _require_shapes(form, batch, loaded, targets)
            for row, name, answer, figures in tally.take(batch):
                (place / name).write_bytes(form.encoded(answer))
                add(row, [name, *figures])
    (place / EXAMPLES).write_bytes(tally.picture())
    return tally.figures()


class _Tally:
    """What is kept of all examples: some figures of each, and a few of them to be drawn."""

    def __init__(self, form: _Form, loaded: Loaded, rows: Rows, is_scored: bool) -> None:
        self._form, self._loaded, self._is_scored = form, loaded, is_scored
        self._count = len(rows)
        places = np.linspace(0, len(rows) - 1, min(_MOST_STRIPS, len(rows))).round().astype(np.int64)
        self._drawn = set(rows[places].tolist())
        self._strips: list[Strip] = []
        self._described: list[tuple[float, ...]] = []
        self._observed: list[tuple[torch.Tensor, torch.Tensor]] = []

    def take(self, batch: Batch) -> list[tuple[int, str, _Array, list[str]]]:
        """Return of each example its row, the name of its file, the answer, and its figures as text."""
        form = self._form
        answers = form.answers(form.maps(batch.outputs))
        described = [form.described(one) for one in batch.outputs]
        scores = self._scores(batch) if self._is_scored else [()] * len(answers)
        self._described += described
        found = []
        for index, row in enumerate(batch.rows.tolist()):
            if row in self._drawn:
                truth = batch.targets[index].numpy() if self._is_scored else None
                self._strips.append(self._strip(row, answers[index], truth))
            figures = [f"{value:.6g}" for value in (*described[index], *scores[index])]
            found.append((row, f"{form.plural}/{row}{form.suffix}", answers[index], figures))
        return found

    def picture(self) -> bytes:
        """Draw some of the examples."""
        form = self._form
        titles = ("example", f"predicted {form.name}", f"true {form.name}")
        return draw_strips(self._strips, titles, f"{form.plural} of some of {self._count:,} examples")

    def figures(self) -> dict[str, Json]:
        """Return the means of what was told of each, and the scores over all, where there are any."""
        means = np.array(self._described).reshape(self._count, -1).mean(axis=0).tolist()
        averaged = self._form.columns[: self._form.averaged]
        told: dict[str, Json] = dict(zip(averaged, means[: len(averaged)], strict=True))
        if not self._is_scored:
            return {**told, "scores": None, "note": f"no scores: the dataset has no {self._form.plural}"}
        losses, seen = (torch.cat(column) for column in zip(*self._observed, strict=True))
        return {
            **told,
            "scores": self._form.totals(self._form.objective.judge(losses, seen, 0)),
            "note": None,
        }

    def _scores(self, batch: Batch) -> list[tuple[float, ...]]:
        objective = self._form.objective
        losses, seen = objective.observe(self._form.maps(batch.outputs), batch.targets)
        self._observed.append((losses, seen))
        each = [objective.judge(losses[i : i + 1], seen[i : i + 1], 0) for i in range(len(losses))]
        return [self._form.judged(one) for one in each]

    def _strip(self, row: int, answer: _Array, truth: _Array | None) -> Strip:
        """Return what is drawn of an example: of fields the first channel."""
        shown = [answer[0]] if truth is None else [answer[0], truth[0] if truth.ndim == 3 else truth]
        limits = (0.0, 1.0)
        if self._form.objective is REGRESSION:
            limits = (float(min(one.min() for one in shown)), float(max(one.max() for one in shown)))
        example = thinned(self._loaded.values[row])
        return Strip(f"row {row}", example, tuple(map(thinned, shown)), limits, self._form.colours)


def _truth(loaded: Loaded, form: _Form) -> Targets | None:
    """Return the true answers, where the dataset has some of this kind."""
    if loaded.targets is None:
        return None
    is_mask = loaded.targets.dtype == np.uint8
    return loaded.targets if is_mask == (form.objective is SEGMENTATION) else None


def _require_shapes(form: _Form, batch: Batch, loaded: Loaded, targets: Targets | None) -> None:
    found, sides = tuple(form.maps(batch.outputs).shape), loaded.values.shape[-2:]
    is_mask = form.objective is SEGMENTATION
    if len(found) != _MAPS_NDIM or (is_mask and found[1:] != (1, *sides)):
        raise InvalidData(f"the model answers with {found[1:]} for each example, which is no {form.name}")
    if not is_mask and targets is not None and found[1:] != targets.shape[1:]:
        raise InvalidData(
            f"the model's fields are of shape {found[1:]}, those of the dataset {targets.shape[1:]}",
            "Register examples with the fields that the model was trained for, or without fields.",
        )


def _png(mask: _Array) -> bytes:
    """Return probabilities (1, H, W) as grey PNG: 0 is 0, 255 is 1."""
    out = BytesIO()
    Image.fromarray(np.rint(mask[0] * _LARGEST_BYTE).astype(np.uint8)).save(out, format="png")
    return out.getvalue()


def _npy(field: _Array) -> bytes:
    out = BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(field, np.float32), allow_pickle=False)
    return out.getvalue()


def _label(output: torch.Tensor) -> tuple[float, float]:
    """Return the label that a model of masks and labels tells of an example, and its probability."""
    chances = label_logits(output[None])[0].double().softmax(0)
    return float(chances.argmax()), float(chances.max())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


_MASKS: Final = _Form(
    SEGMENTATION,
    "mask",
    "masks",
    ".png",
    columns=("area_share",),
    scored=("dice",),
    answers=lambda outputs: outputs.double().sigmoid().numpy(),
    encoded=_png,
    described=lambda output: (float((output > 0).double().mean()),),  # as Dice counts: above ½
    judged=lambda found: (found.f1,),
    totals=lambda found: {"dice": found.f1, "accuracy": found.accuracy, "loss": _finite(found.loss)},
    colours="gray",
)
_MASKS_AND_LABELS: Final = replace(
    _MASKS,
    columns=(*_MASKS.columns, "predicted", "probability"),
    described=lambda output: (*_MASKS.described(output[:1]), *_label(output)),
    totals=lambda found: {"dice": found.f1},
    maps=lambda outputs: outputs[:, :1],
)
_FIELDS: Final = _Form(
    REGRESSION,
    "field",
    "fields",
    ".npy",
    columns=(),
    scored=("mse", "r2"),
    answers=lambda outputs: outputs.float().numpy(),
    encoded=_npy,
    described=lambda output: (),
    judged=lambda found: (found.loss, found.f1),
    totals=lambda found: {"r2": found.f1, "mse": _finite(found.loss), "r2_per_channel": list(found.parts)},
    colours="viridis",
)
_FORMS: Final = {form.objective.name: form for form in (_MASKS, _FIELDS)}

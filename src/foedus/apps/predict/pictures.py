"""The pictures of FL_PREDICT: some examples with their predictions, and the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS, _ROWS = 8, 5
_DPI: Final = 130
_RIGHT, _WRONG, _UNKNOWN = "#00805a", "#b0323f", "#333333"
_MOST_LABELS: Final = 40  # of a confusion matrix whose cells carry numbers
_LARGEST_SIDE: Final = 512  # of what is drawn of a mask or field, in pixels


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """One line of a picture: an example (C, H, W) or (H, W), and beside it answer and truth (H, W)."""

    title: str
    example: npt.NDArray[Any]
    answers: tuple[npt.NDArray[Any], ...]
    limits: tuple[float, float]  # what black and white, or the ends of the colours, stand for
    colours: str


def thinned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy (..., H, W) of which so many rows and columns are left out that it is small."""
    step = max(1, -(-max(values.shape[-2:]) // _LARGEST_SIDE))
    return values[..., ::step, ::step].copy()


def draw_strips(strips: Sequence[Strip], titles: Sequence[str], heading: str) -> bytes:
    """Return examples, the answers for them and, where there are any, the true ones, as PNG."""
    columns = 1 + len(strips[0].answers)
    figure = _figure(2.2 * columns + 0.9, 2.1 * len(strips) + 0.9)
    grid = figure.subplots(len(strips), columns, squeeze=False)
    for axes, strip in zip(grid, strips, strict=True):
        axes[0].imshow(_as_picture(strip.example), cmap="gray")
        axes[0].set_ylabel(strip.title, fontsize=9)
        for one, answer in zip(axes[1:], strip.answers, strict=True):
            low, high = strip.limits
            image = one.imshow(answer, cmap=strip.colours, vmin=low, vmax=max(high, low + 1e-9))
        figure.colorbar(image, ax=axes[-1], shrink=0.85)
        for one in axes:
            one.set_xticks([])
            one.set_yticks([])
    for one, title in zip(grid[0], titles, strict=False):
        one.set_title(title, fontsize=9)
    figure.suptitle(heading, fontsize=11)
    return _png(figure)


def draw_examples(
    values: npt.NDArray[Any], chances: npt.NDArray[np.float64], labels: npt.NDArray[np.int64] | None
) -> bytes:
    """Return a grid of examples as PNG, wrong predictions first where labels are known."""
    order = _chosen(chances, labels)
    columns, rows = min(_COLUMNS, len(order)), -(-len(order) // _COLUMNS)
    figure = _figure(1.15 * columns + 0.6, 1.5 * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, order, strict=False):
        picture = _as_picture(values[index])
        axes.imshow(picture, cmap="gray", vmin=picture.min(), vmax=max(picture.max(), picture.min() + 1e-9))
        predicted, chance = int(chances[index].argmax()), float(chances[index].max())
        colour, text = _UNKNOWN, f"{predicted}  {chance:.0%}"
        if labels is not None:
            is_right = predicted == labels[index]
            colour = _RIGHT if is_right else _WRONG
            text += "" if is_right else f"\nis {int(labels[index])}"
        axes.set_title(text, fontsize=9, color=colour)
    figure.suptitle(_heading(chances, labels), fontsize=11)
    return _png(figure)


def draw_confusion(counts: npt.NDArray[np.int64], title: str) -> bytes:
    """Return a confusion matrix as PNG: rows are true labels, coloured by their share of the row."""
    size = max(4.2, min(12.0, 0.48 * len(counts) + 2.0))
    figure = _figure(size + 0.9, size)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.85, label="share of the label's examples")
    if len(counts) <= _MOST_LABELS:
        axes.set_xticks(range(len(counts)))
        axes.set_yticks(range(len(counts)))
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "#1a1a1a"
            axes.text(
                column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=8, color=colour
            )
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.set_title(title, fontsize=11, loc="left")
    return _png(figure)


def _chosen(chances: npt.NDArray[np.float64], labels: npt.NDArray[np.int64] | None) -> list[int]:
    """Pick the examples to show: half of the places for the surest mistakes, the rest evenly spread."""
    places = _COLUMNS * _ROWS
    wrong = np.empty(0, np.int64)
    if labels is not None:
        wrong = np.flatnonzero(chances.argmax(axis=1) != labels)
        wrong = wrong[np.argsort(-chances[wrong].max(axis=1), kind="stable")][: places // 2]
    others = np.setdiff1d(np.arange(len(chances)), wrong)
    wanted = min(places - len(wrong), len(others))
    spread = (
        others[np.linspace(0, len(others) - 1, wanted).round().astype(np.int64)] if wanted else others[:0]
    )
    return [*wrong.tolist(), *spread.tolist()]


def _heading(chances: npt.NDArray[np.float64], labels: npt.NDArray[np.int64] | None) -> str:
    if labels is None:
        return f"predictions for some of {len(chances):,} examples"
    wrong = int((chances.argmax(axis=1) != labels).sum())
    heading = f"{wrong:,} of {len(chances):,} predictions are wrong"
    return f"{heading}; the surest mistakes come first" if wrong else heading


def _as_picture(example: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return an example as (H, W) or (H, W, 3) for drawing; of other channels the first."""
    values = example.astype(np.float64)
    if values.ndim == 1:
        return values[None]
    if values.ndim == 3 and len(values) == 3:
        low, high = values.min(), values.max()
        return np.asarray((values.transpose(1, 2, 0) - low) / max(high - low, 1e-9))
    return np.asarray(values[0] if values.ndim == 3 else values)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: "Figure") -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()

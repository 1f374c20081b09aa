"""The pictures of an experiment: losses per client, confusion, heat maps of masks, predicted fields."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from foedus.client.experiments.records import RunScores
from foedus.client.experiments.scoring import FinalModel, Shown, predicted
from foedus.client.report.charts import global_figures
from foedus.learn.datasets import CHANGE_SCALE
from foedus.learn.explain import explain
from foedus.rounds.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI: Final = 110
_CELL: Final = 1.7  # inches
_HEAT: Final = "cividis"  # even for the colour-blind
_SIGNED: Final = "PuOr"
_NAN: Final = float("nan")


def draw_losses(summaries: Sequence[tuple[str, RunSummary]]) -> bytes:
    """Return the loss of each client's local model and of the global model over the rounds, a panel each."""
    figure = _figure(len(summaries), 1, 3.4, 2.9)
    panels = np.atleast_1d(figure.subplots(1, len(summaries), sharey=True))
    for axes, (label, summary) in zip(panels, summaries, strict=True):
        rounds = [one for one in summary.rounds if one.is_final]
        numbers = [one.number for one in rounds]
        for client in summary.clients:
            values = [
                next((c.training.local.loss for c in one.clients if c.client == client and c.training), _NAN)
                for one in rounds
            ]
            axes.plot(numbers, values, linewidth=1, label=client)
        tested = [one.loss if one else _NAN for one in global_figures(rounds)]
        axes.plot(numbers, tested, color="black", linewidth=2, label="global, test set")
        rejected = [one.test.loss if one.test and one.phase == "rejected" else _NAN for one in rounds]
        if not np.isnan(rejected).all():
            axes.plot(numbers, rejected, "x", color="#777777", markersize=5, label="rejected, test set")
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("round")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("loss")
    for axes in panels:
        axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def draw_sharing(reached: Mapping[float, Sequence[float]], score_name: str) -> bytes:
    """Return what global models reached over the share of data that all clients have, a dot for each run."""
    figure = _figure(1, 1, 4.6, 3.2)
    axes = figure.subplots()
    shares = sorted(reached)
    for share in shares:
        axes.plot([100 * share] * len(reached[share]), reached[share], "o", color="#00629b", alpha=0.6)
    axes.plot([100 * share for share in shares], [float(np.mean(reached[share])) for share in shares], "-k")
    axes.set_xlabel("shared by all, % of the training data")
    axes.set_ylabel(score_name)
    axes.grid(alpha=0.25)
    return _png(figure)


def draw_confusion(scores: Sequence[RunScores]) -> bytes:
    """Return the confusion matrices of classifiers, in shares of the true label."""
    figure = _figure(len(scores), 1, 2.6, 2.9)
    for axes, one in zip(np.atleast_1d(figure.subplots(1, len(scores))), scores, strict=True):
        counts = np.array(one.confusion, np.float64)
        shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(shares, cmap=_HEAT, vmin=0, vmax=1)
        axes.set_title(one.label, fontsize=9)
        axes.set_xlabel("predicted")
        axes.set_xticks(range(len(counts)))
        axes.set_yticks(range(len(counts)))
        axes.tick_params(labelsize=6)
    figure.axes[0].set_ylabel("true label")
    return _png(figure)


def draw_masks(final: FinalModel, shown: Shown, groups: Sequence[str], title: str) -> bytes:
    """Return heat maps over X-rays, of every client's local model and of the global one.

    For each model two columns: the probability of the mask, and Seg-Grad-CAM (Vinogradova et al. 2020).
    """
    models = {**final.local_models(), "global": None}
    columns = 2 + 2 * len(models)
    figure = _figure(columns, len(shown.rows), _CELL, _CELL)
    grid = figure.subplots(len(shown.rows), columns, squeeze=False)
    for line, row in enumerate(grid):
        image = shown.inputs[line, 0].numpy()
        _picture(row[0], image, "X-ray" if line == 0 else "", groups[shown.groups[line]])
        _picture(row[1], image, "truth" if line == 0 else "", over=shown.targets[line].numpy())
    column = 2
    for client, weights in models.items():
        if weights is None:
            final.load_global()
        else:
            final.project.load(weights)
            final.project.model.eval()
        for line, row in enumerate(grid):
            found = explain(final.project.model, shown.inputs[line : line + 1])
            assert found.mask is not None, "only models of masks are shown so"
            image = shown.inputs[line, 0].numpy()
            heads = (f"{client}: mask", "Grad-CAM") if line == 0 else ("", "")
            _picture(row[column], image, heads[0], over=found.mask.numpy())
            _picture(row[column + 1], image, heads[1], over=found.heat.numpy())
        column += 2
    _legend(figure, "probability of the mask, and heat, from 0 to 1")
    figure.suptitle(title, fontsize=11)
    return _png(figure)


def draw_fields(final: FinalModel, shown: Shown, groups: Sequence[str], title: str) -> bytes:
    """Return truth, prediction and error of the second field, some frames ahead, an example per row.

    Colours span what is usual in the group: in its own span, a frame that hardly changes looks all wrong.
    """
    final.load_global()
    changes = predicted(final, shown.inputs)[:, 1] / CHANGE_SCALE
    now, truth = shown.inputs[:, 1].numpy(), shown.targets[:, 1].numpy() / CHANGE_SCALE
    columns = ("v now", "true change", "predicted change", "error of it")
    figure = _figure(len(columns), len(now), 2.2, 2.1)
    for line, row in enumerate(figure.subplots(len(now), len(columns), squeeze=False)):
        limit = _usual_change(final, int(shown.groups[line]))
        fields = (now[line], truth[line], changes[line], changes[line] - truth[line])
        for number, (axes, field) in enumerate(zip(row, fields, strict=True)):
            span: dict[str, Any] = {"cmap": _HEAT}
            if number:
                span = {"cmap": _SIGNED, "vmin": -limit, "vmax": limit}
            image = axes.imshow(field, **span)
            figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=6)
            axes.set_xticks([])
            axes.set_yticks([])
            if line == 0:
                axes.set_title(columns[number], fontsize=9)
        row[0].set_ylabel(groups[shown.groups[line]], fontsize=9)
    figure.suptitle(title, fontsize=11)
    return _png(figure)


def _usual_change(final: FinalModel, group: int) -> float:
    """Return three standard deviations of the second field's change in the test frames of a group."""
    changes = final.test.targets[torch.from_numpy(final.groups == group)][:, 1]
    return 3 * float(changes.std()) / CHANGE_SCALE or 1.0


def _picture(
    axes: "Axes",
    image: npt.NDArray[np.float32],
    title: str,
    label: str = "",
    over: npt.NDArray[Any] | torch.Tensor | None = None,
) -> None:
    axes.imshow(image, cmap="gray")
    if over is not None:
        axes.imshow(over, cmap=_HEAT, vmin=0, vmax=1, alpha=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8)
    axes.set_ylabel(label, fontsize=7)


def _legend(figure: "Figure", label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, 1), _HEAT)
    bar = figure.colorbar(scale, ax=figure.axes, orientation="horizontal", shrink=0.3, aspect=40, pad=0.01)
    bar.set_label(label, fontsize=8)


def _figure(columns: int, rows: int, width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns + 0.6, height * rows + 0.9), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, and no global state as pyplot has
    return figure


def _png(figure: "Figure") -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()

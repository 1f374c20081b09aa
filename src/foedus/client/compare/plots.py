"""The curves of a comparison as one picture: mean lines, and bands of one standard deviation."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

from foedus.client.compare.records import Comparison, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES, _DPI = (14.0, 5.2), 130
_COLOURS: Final = ("#0067a3", "#c44601", "#00805a", "#a64d8c", "#8a6100", "#3b8fb5", "#6b5bb5", "#b0323f")
_DASHES: Final = ("-", (0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2)))
_MARKS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
_MARKED = 40  # points; longer curves carry no marks
_NAN: Final = float("nan")


def draw_comparison(comparison: Comparison) -> bytes:
    """Return test accuracy, score and loss over the rounds as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, and no global state as pyplot has
    words = comparison.words
    panels = [
        ("Test accuracy", f"accuracy: {_small(words.accuracy_means)}", comparison.accuracy, True),
        (f"Test {words.name}", f"{words.name}: {_small(words.means)}", comparison.f1, True),
        ("Test loss", "loss (mean over the examples)", comparison.loss, False),
    ]
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _panel(axes, *panel, target=comparison.target if panel[0] == "Test accuracy" else None)
    figure.suptitle(_title(comparison), fontsize=12)
    _legend(figure)
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _small(words: str) -> str:
    return words[0].lower() + words[1:]


def _title(comparison: Comparison) -> str:
    count = len(comparison.seeds)
    seeds = f"mean of {count} seeds, band ± one standard deviation" if count > 1 else "one seed"
    return f"{comparison.name}: {seeds}"


def _panel(
    axes: "Axes", title: str, unit: str, curves: Sequence[Curve], is_score: bool, target: float | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontweight="bold", loc="left")
    axes.set_xlabel("round")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for number, curve in enumerate(curves):
        if any(value is not None for value in curve.mean):  # others stay out of the legend
            _draw(axes, curve, number)
    if target is not None:
        axes.axhline(target, color="#555555", linewidth=1, linestyle=":", label=f"target {target:g}")
    if is_score:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))


def _draw(axes: "Axes", curve: Curve, number: int) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    rounds = range(1, len(curve.mean) + 1)
    mean = [_NAN if value is None else value for value in curve.mean]
    axes.plot(
        rounds,
        mean,
        label=_drawable(curve.label),
        color=colour,
        linestyle=_DASHES[number % len(_DASHES)],
        marker=_MARKS[number % len(_MARKS)] if len(mean) <= _MARKED else "",
        markersize=4,
        linewidth=1.8,
    )
    std = [_NAN if value is None else value for value in curve.std]
    low = [value - spread for value, spread in zip(mean, std, strict=True)]
    high = [value + spread for value, spread in zip(mean, std, strict=True)]
    axes.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0)


def _legend(figure: "Figure") -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _drawable(label: str) -> str:
    """Return a label that the font can draw; matplotlib leaves out those that begin with `_`."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans"))
    text = "".join(c if known.get_char_index(ord(c)) else "?" for c in label)
    return f" {text}" if text.startswith("_") else text

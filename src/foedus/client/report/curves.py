"""The curves as a picture: loss, score and accuracy side by side, for papers and readers without scripts."""

from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING

from foedus.client.report.charts import Chart, Series, curves
from foedus.rounds.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_INCHES, _DPI = (13.5, 4.6), 130
_COLOURS = ("#0067a3", "#c44601", "#00805a", "#a64d8c", "#8a6100", "#3b8fb5", "#6b5bb5", "#b0323f")
_DASHES = ("-", (0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2)))
_MARKS = ("o", "s", "^", "D")
_MARKED = 40  # points; longer curves carry no marks


def draw_curves(run: RunSummary) -> bytes:
    """Return the curves as PNG. Takes half a second, most of it for importing matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, and no global state as pyplot has
    charts = curves(run)
    for axes, chart in zip(figure.subplots(1, len(charts)), charts, strict=True):
        axes.set_title(chart.title, fontweight="bold", loc="left")
        axes.set_xlabel(chart.x_name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if chart.unit == "score":
            axes.set_ylim(0, 1.02)
        _draw(axes, chart)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _draw(axes: "Axes", chart: Chart) -> None:
    clients = count()
    for series in chart.series:
        (line,) = axes.plot(chart.x, _gaps(series), label=_plain(series.name), markersize=4)
        if series.kind == "client":
            _as_client(line, next(clients))
        elif series.kind == "global":
            line.set(color="black", linewidth=2.6, zorder=5, marker="*")
        else:
            line.set(color="#777777", linestyle="", marker="x")
        if len(chart.x) > _MARKED and series.kind != "rejected":
            line.set_marker("")


def _as_client(line: "Line2D", client: int) -> None:
    line.set(
        color=_COLOURS[client % len(_COLOURS)],
        linestyle=_DASHES[client % len(_DASHES)],
        marker=_MARKS[client % len(_MARKS)],
        linewidth=1.6,
    )


def _gaps(series: Series) -> list[float]:
    return [float("nan") if value is None else value for value in series.values]


def _plain(name: str) -> str:
    """Return a name that any font can draw; matplotlib leaves out labels that begin with `_`."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:32])
    return f" {text}" if text.startswith("_") else text

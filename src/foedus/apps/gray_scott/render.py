"""SIM_RENDER: draws a simulation's last frame as a picture, and its frames as a short movie."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from foedus.apps.datasets.frames import Metadata, field_of, metadata_of
from foedus.apps.datasets.loading import verified, without_places
from foedus.apps.gray_scott.names import METADATA
from foedus.apps.order import Order, home_of
from foedus.core.canonical import Json
from foedus.core.errors import InvalidData, TaskFailed
from foedus.launch import JobFolder
from foedus.rounds.home import Home

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE: Final = "last_frame.png"
_INCHES, _DPI = (6.6, 5.9), 150
_MOVIE_PIXELS: Final = 448  # at least, on a side
_STRIP: Final = 22  # pixels below a frame, for its step
_MOST_MOVIE_FRAMES: Final = 2000
_FFMPEG_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class _Simulation:
    """What is drawn: one field's frames, and what the metadata tell."""

    frames: npt.NDArray[Any]
    metadata: Metadata
    field: Literal["u", "v"]
    colours: str

    @property
    def limits(self) -> tuple[float, float]:
        """What the ends of the colours stand for: the range of all frames, so that movies do not flicker."""
        low, high = getattr(self.metadata.ranges, self.field)
        return float(low), float(max(high, low + 1e-9))


def run(folder: JobFolder) -> None:
    """Draw picture and movie into the output, then write the result. Raises `InvalidData`, `TaskFailed`."""
    order = Order.read(folder)
    values: dict[str, Any] = dict(order.parameters)
    simulation = _opened(home_of(folder), values)
    output = folder.make_output()
    files = [PICTURE]
    (output / PICTURE).write_bytes(draw(simulation.frames[-1], simulation))
    folder.emit({"done": 1, "total": 2})
    if values["movie"] != "none":
        files.append(f"movie.{values['movie']}")
        write = _write_gif if values["movie"] == "gif" else _write_mp4
        write(output / files[-1], simulation, values["frames_per_s"])
    folder.emit({"done": 2, "total": 2})
    result: dict[str, Json] = {"files": files, "frames": len(simulation.frames)}
    folder.finish(result | {"regime": simulation.metadata.regime})


def draw(frame: npt.NDArray[Any], simulation: _Simulation) -> bytes:
    """Return one frame as PNG, with a colour bar and what it is a picture of."""
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metadata, parameters = simulation.metadata, simulation.metadata.parameters
    figure = Figure(figsize=_INCHES, dpi=_DPI)
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.08)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    low, high = simulation.limits
    image = axes.imshow(frame, cmap=simulation.colours, vmin=low, vmax=high, origin="lower")
    bar = figure.colorbar(image, ax=axes, shrink=0.92, pad=0.02)
    bar.set_label(f"concentration of {simulation.field}")
    bar.outline.set_visible(False)
    axes.set_xlabel("x (cells)")
    axes.set_ylabel("y (cells)")
    rates = ", ".join(f"{name} = {getattr(parameters, name):g}" for name in ("F", "k", "Du", "Dv"))
    time = metadata.steps[-1] * parameters.dt
    axes.set_title(f"Gray–Scott: {rates}", fontsize=12, fontweight="bold", loc="left", pad=24)
    axes.text(
        0.0, 1.02, f"t = {time:,.0f} ({metadata.steps[-1]:,} steps), regime: {metadata.regime}",
        transform=axes.transAxes, fontsize=10, color="#444444",
    )  # fmt: skip
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _opened(home: Home, values: dict[str, Any]) -> _Simulation:
    name = values["frames"]
    dataset, listing = verified(home, name)
    if dataset.kind != "frames" or METADATA not in listing.names:
        raise InvalidData(
            f"dataset {name!r} is not the output of one simulation",
            "Register the output of a single batch job.",
        )
    with without_places(name):
        metadata = metadata_of(listing, METADATA)
        frames = field_of(listing, f"{values['field']}.npy", metadata)
    return _Simulation(frames, metadata, values["field"], values["colours"])


def _write_gif(path: Path, simulation: _Simulation, frames_per_s: int) -> None:
    pictures = list(_pictures(simulation))
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / frames_per_s),
        loop=0,
        optimize=False,
    )


def _write_mp4(path: Path, simulation: _Simulation, frames_per_s: int) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        raise TaskFailed("an MP4 movie needs the program ffmpeg, which is not here", "Use -p movie=gif.")
    pictures = [picture.convert("RGB") for picture in _pictures(simulation)]
    size = "{}x{}".format(*pictures[0].size)
    command = [program, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size]
    command += [
        "-r",
        str(frames_per_s),
        "-i",
        "-",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
        str(path),
    ]
    frames = b"".join(picture.tobytes() for picture in pictures)
    done = subprocess.run(command, input=frames, capture_output=True, timeout=_FFMPEG_S, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise TaskFailed(f"ffmpeg failed with code {done.returncode} and said: {said[0]}")


def _pictures(simulation: _Simulation) -> Iterator["Image"]:
    """Yield the frames as pictures whose palette is the colour map, with the step below."""
    from matplotlib import colormaps
    from PIL import Image, ImageDraw

    palette = (colormaps[simulation.colours](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    dark, bright = (int(choose(palette.sum(axis=1))) for choose in (np.argmin, np.argmax))
    low, high = simulation.limits
    every = -(-len(simulation.frames) // _MOST_MOVIE_FRAMES)
    steps = simulation.metadata.steps[::every]
    for step, frame in zip(steps, simulation.frames[::every], strict=True):
        levels = (
            np.clip((frame.astype(np.float64) - low) / (high - low) * 255, 0, 255).round().astype(np.uint8)
        )
        zoom = max(1, -(-_MOVIE_PIXELS // len(levels)))
        large = np.kron(levels[::-1], np.ones((zoom, zoom), np.uint8))
        pixels = np.pad(large, ((0, _STRIP + len(large) % 2), (0, len(large) % 2)), constant_values=dark)
        picture = Image.fromarray(pixels)
        picture.putpalette(palette.tobytes())
        label = f"step {step:,} of {steps[-1]:,}"
        ImageDraw.Draw(picture).text((6, len(large) + 4), label, fill=bright)
        yield picture

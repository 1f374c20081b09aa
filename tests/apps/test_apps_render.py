"""Pictures and movies of a simulation show what its frames are."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from apps_tools import make_job, run_here
from datasets_tools import npz_file
from matplotlib import colormaps
from PIL import Image

from foedus.apps.builtin import SIM_REACTION_DIFFUSION, SIM_RENDER
from foedus.apps.datasets.loading import register
from foedus.core.errors import InvalidData, TaskFailed
from foedus.launch import JobFolder
from foedus.rounds.home import Home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the private dataset `coral` of a small simulation."""
    home = tmp_path_factory.mktemp("home")
    values = SIM_REACTION_DIFFUSION.checked({"size": 30, "steps": 90, "frames": 4, "start": "centre"})
    folder = make_job(home, "SIM_REACTION_DIFFUSION", values, "sim-1")
    run_here(folder)
    register(Home(home), "coral", "frames", folder.path / "output")
    return home


def render(place: Path, name: str, **parameters: object) -> JobFolder:
    values = SIM_RENDER.checked({"frames": "coral", **parameters})
    return make_job(place, "SIM_RENDER", values, name)


def test_the_movie_has_each_frame_in_the_colours_of_its_values(place: Path) -> None:
    folder = render(place, "render-1", frames_per_s=10)

    result = run_here(folder)

    frames = np.load(place / "jobs" / "sim-1" / "output" / "v.npy")
    with Image.open(folder.path / "output" / "movie.gif") as movie:
        assert movie.n_frames == len(frames) == result["frames"] == 4
        assert movie.info["duration"] == 100
        zoom = movie.size[0] // 30
        assert zoom >= 14
        for index, frame in enumerate(frames):
            movie.seek(index)
            shown = np.asarray(movie.convert("RGB"))[: 30 * zoom : zoom, : 30 * zoom : zoom]
            levels = (frame - frames.min()) / (frames.max() - frames.min())
            wanted = colormaps["viridis"](levels[::-1])[..., :3] * 255  # the first row is the lowest
            assert np.abs(shown - wanted).max() < 4


def test_the_picture_is_a_png_of_the_last_frame(place: Path) -> None:
    folder = render(place, "render-2", movie="none", colours="magma")

    result = run_here(folder)

    assert result["files"] == ["last_frame.png"]
    assert sorted(path.name for path in (folder.path / "output").iterdir()) == ["last_frame.png"]
    with Image.open(io.BytesIO((folder.path / "output" / "last_frame.png").read_bytes())) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    brightest = np.abs(pixels - np.round(colormaps["magma"](1.0)[:3] * np.array(255))).sum(axis=2) < 6
    darkest = np.abs(pixels - np.round(colormaps["magma"](0.0)[:3] * np.array(255))).sum(axis=2) < 6
    assert brightest.any()
    assert darkest.sum() > 1000  # the disturbance in the middle has not reached the edges


def test_equal_frames_give_equal_pictures(place: Path) -> None:
    outputs = []
    for name in ("render-3", "render-4"):
        folder = render(place, name)
        run_here(folder)
        outputs.append({p.name: p.read_bytes() for p in (folder.path / "output").iterdir()})
    assert outputs[0] == outputs[1]


def test_a_dataset_that_is_no_simulation_is_refused(place: Path, tmp_path: Path) -> None:
    register(Home(place), "other", "arrays", npz_file(tmp_path / "d.npz"))
    with pytest.raises(InvalidData, match="'other' is not the output of one simulation"):
        run_here(render(place, "render-5", frames="other"))


def test_mp4_needs_ffmpeg(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TaskFailed, match="ffmpeg, which is not here"):
        run_here(render(place, "render-6", movie="mp4"))


def stand_in(folder: Path, script: str) -> None:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_mp4_gets_all_frames_as_raw_pixels(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, 'for last; do :; done; echo "$@" > "$0.seen"; cat > "$last"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    folder = render(place, "render-7", movie="mp4", frames_per_s=5)

    run_here(folder)

    arguments = (tmp_path / "ffmpeg.seen").read_text().split()
    width, height = map(int, arguments[arguments.index("-s") + 1].split("x"))
    assert (folder.path / "output" / "movie.mp4").stat().st_size == 4 * width * height * 3
    assert width % 2 == height % 2 == 0  # yuv420p halves both
    assert arguments[arguments.index("-r") + 1] == "5"


def test_a_failure_of_ffmpeg_is_told(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "cat > /dev/null; echo no such encoder >&2; exit 8")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(TaskFailed, match="code 8 and said: no such encoder"):
        run_here(render(place, "render-8", movie="mp4"))

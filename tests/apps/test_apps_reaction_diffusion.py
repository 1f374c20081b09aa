"""The simulation as a batch job: its files, its events, and that interruptions change no byte of them."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps_tools import make_job, run_here

from foedus.apps.builtin import SIM_REACTION_DIFFUSION
from foedus.apps.gray_scott.task import frame_steps
from foedus.core.canonical import Json
from foedus.core.errors import Interrupted, InvalidSpec, TaskFailed
from foedus.launch import JobFolder

SMALL = {"size": 24, "steps": 60, "frames": 7, "F": 0.035, "k": 0.065}


def job(home: Path, name: str = "job-1", **parameters: object) -> JobFolder:
    values = SIM_REACTION_DIFFUSION.checked({**SMALL, **parameters})
    return make_job(home, "SIM_REACTION_DIFFUSION", values, name)


def output_of(folder: JobFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder.path / "output").iterdir())}


def test_frames_and_metadata_describe_each_other(tmp_path: Path) -> None:
    folder = job(tmp_path)

    result = run_here(folder)

    output = folder.path / "output"
    u, v = (np.load(output / f"{name}.npy", allow_pickle=False) for name in "uv")
    metadata = json.loads((output / "metadata.json").read_bytes())
    assert u.shape == v.shape == (7, 24, 24)
    assert u.dtype == np.float32
    assert metadata["shape"] == [7, 24, 24] == result["shape"]
    assert metadata["ranges"]["v"] == [float(v.min()), float(v.max())] == result["ranges"]["v"]  # type: ignore[index]
    assert metadata["steps"] == [0, 10, 20, 30, 40, 50, 60]
    assert len(metadata["regimes"]) == 7
    assert sum(metadata["histogram"].values()) == 7
    assert metadata["parameters"]["F"] == 0.035
    assert not np.array_equal(v[0], v[6])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, same, other = (job(tmp_path, f"job-{n}", seed=seed) for n, seed in ((1, 5), (2, 5), (3, 6)))
    for folder in (one, same, other):
        run_here(folder)
    assert output_of(one) == output_of(same)
    assert output_of(one)["v.npy"] != output_of(other)["v.npy"]


class Warned(JobFolder):
    """A job folder whose batch job is warned with the n-th event."""

    events_left = 1

    def emit(self, event: Mapping[str, Json]) -> None:
        super().emit(event)
        self.events_left -= 1
        if self.events_left == 0:
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture
def reports_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.apps.gray_scott.task._REPORT_S", 0.0)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.usefixtures("reports_each_step")
def test_interrupted_attempts_end_with_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, precision: str
) -> None:
    undisturbed, disturbed = (job(tmp_path, f"job-{n}", precision=precision) for n in (1, 2))
    run_here(undisturbed)

    for number, events in enumerate((14, 23)):
        attempt = Warned(disturbed.path, f"attempt-01.0{number}")
        attempt.events_left = events
        attempt.claim()
        with pytest.raises(Interrupted):
            run_here(attempt)
    last = JobFolder(disturbed.path, "attempt-02.00")
    last.claim()
    run_here(last)
    first_event = disturbed.read_events()[0][14 + 23]
    disturbed.adopt("attempt-02.00")

    assert output_of(disturbed) == output_of(undisturbed)
    assert int(str(first_event["done"])) > 30  # it went on from the second checkpoint
    assert disturbed.read_result() is not None


@pytest.mark.usefixtures("reports_each_step")
def test_it_begins_anew_when_the_frames_before_the_checkpoint_are_gone(tmp_path: Path) -> None:
    undisturbed, disturbed = job(tmp_path, "job-1"), job(tmp_path, "job-2")
    run_here(undisturbed)
    attempt = Warned(disturbed.path)
    attempt.events_left = 30
    with pytest.raises(Interrupted):
        run_here(attempt)
    (disturbed.path / "output" / "u.npy").write_bytes(b"\x93NUMPY damaged")

    run_here(disturbed)

    assert output_of(disturbed) == output_of(undisturbed)


def test_events_tell_how_far_it_is(tmp_path: Path) -> None:
    folder = job(tmp_path)
    run_here(folder)
    events = folder.read_events()[0]
    assert (events[-1]["done"], events[-1]["total"]) == (60, 60)
    assert float(str(events[-1]["steps_per_s"])) > 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"dt": 2.3}, "dt = 2.3 is unstable: with Du = 0.16, Dv = 0.08 and the 9-point stencil"),
        ({"dt": 1.6, "stencil": "5"}, "it must be at most 1.521"),
        ({"Du": 0.4, "dt": 1}, "unstable"),
        ({"frames": 62}, "62 frames need at least 61 steps"),
        ({"size": 8192, "frames": 1000, "steps": 1000}, "the frames would take 537 GB"),
        ({"precision": "float16"}, "precision must be one of its choices"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_submitted(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        SIM_REACTION_DIFFUSION.checked({**SMALL, **parameters})
    assert words in caught.value.message


def test_numbers_that_are_none_any_more_are_a_failure(tmp_path: Path) -> None:
    values = {**SIM_REACTION_DIFFUSION.checked(SMALL), "dt": 50.0}
    folder = make_job(tmp_path, "SIM_REACTION_DIFFUSION", values)
    with np.errstate(all="ignore"), pytest.raises(TaskFailed, match="became infinite or NaN"):
        run_here(folder)
    assert folder.read_result() is None


@pytest.mark.parametrize(
    ("steps", "frames", "expected"), [(10, 1, [10]), (10, 2, [0, 10]), (10, 4, [0, 3, 7, 10]), (1, 2, [0, 1])]
)
def test_frames_are_spread_evenly_up_to_the_last_step(steps: int, frames: int, expected: list[int]) -> None:
    assert frame_steps(steps, frames) == expected

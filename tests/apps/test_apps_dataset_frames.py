"""Frames of simulations are read with their regimes, and what does not fit together is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_tools import read, refused

METADATA: dict[str, Any] = {
    "kind": "reaction-diffusion",
    "parameters": {"F": 0.03, "k": 0.06, "Du": 0.16, "Dv": 0.08, "dt": 1},
    "shape": [3, 8, 8],
    "steps": [0, 5, 10],
    "ranges": {"u": [0, 1], "v": [0, 0.5]},
    "regimes": ["uniform", "spots", "waves"],
    "regime": "waves",
}
FRAMES = np.random.default_rng(1).uniform(0, 1, (3, 8, 8)).astype(np.float32)


def simulation(folder: Path, u: np.ndarray = FRAMES, v: np.ndarray = FRAMES, **changed: object) -> Path:
    """Write the output of a simulation; None leaves a key out."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "u.npy", u)
    np.save(folder / "v.npy", v)
    metadata = {key: value for key, value in (METADATA | changed).items() if value is not None}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def test_frames_come_as_channels_with_their_regimes(tmp_path: Path) -> None:
    simulation(tmp_path / "a")
    simulation(tmp_path / "b", v=FRAMES / 2)
    found = read("frames", tmp_path)
    assert found.values.shape == (6, 2, 8, 8)
    assert np.array_equal(found.values[3:, 1], FRAMES / 2)
    assert found.labels is not None
    assert [found.names[label] for label in found.labels] == METADATA["regimes"] * 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, None) for key in METADATA),
        ("kind", "waves"),
        ("shape", []),
        ("shape", [3, 8]),
        ("shape", [3, 8, "x"]),
        ("regimes", ["uniform", "spots"]),
        ("regimes", ["uniform", "spots", "fog"]),
        ("steps", [0, 5]),
        ("parameters", {"F": 0.03}),
        ("ranges", {"u": [0, 1]}),
        ("regime", 3),
    ],
)
def test_metadata_that_a_picture_could_not_be_drawn_of_are_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    place = simulation(tmp_path / "a", **{key: value})
    refused("frames", place, "metadata.json is not the metadata of a reaction-diffusion simulation: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda frames: frames[:, :4],
        lambda frames: frames[:2],
        lambda frames: frames[:, 0, 0],
        lambda frames: np.float32(1),
        lambda frames: frames.astype(np.int64),
    ],
)
@pytest.mark.parametrize("field", ["u", "v"])
def test_frames_that_are_not_those_described_are_refused(
    tmp_path: Path, field: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    place = simulation(tmp_path / "a", **{field: change(FRAMES)})
    refused("frames", place, f"{field}.npy holds other frames than metadata.json describes")


def test_no_frames_are_no_dataset(tmp_path: Path) -> None:
    place = simulation(tmp_path / "a", FRAMES[:0], FRAMES[:0], shape=[0, 8, 8], steps=[], regimes=[])
    refused("frames", place, "u.npy holds nothing")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\udcff"])
def test_metadata_that_are_no_json_are_refused(tmp_path: Path, text: str) -> None:
    place = simulation(tmp_path / "a")
    (place / "metadata.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused("frames", place, "metadata.json is not the metadata of a reaction-diffusion simulation")

"""Whole runs of models that learn masks and fields: trained, gated, voted on and verified as any other."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foedus.rounds.home import Home
from foedus.rounds.runs import create_run, drive_run
from foedus.rounds.spec import parse_spec
from foedus.rounds.verify import verify_run

LUNGS = ("montgomery", "shenzhen")


def xrays(folder: Path) -> Path:
    """Twelve pictures of each site and finding: a bright rectangle is the mask."""
    random = np.random.default_rng(0)
    for site in LUNGS:
        for what in ("images", "masks"):
            (folder / site / what).mkdir(parents=True)
        for number in range(24):
            mask = np.zeros((32, 32), np.uint8)
            row, column = random.integers(2, 14, 2)
            mask[row : row + 16, column : column + 16] = 255
            image = (mask // 2 + random.integers(0, 60, mask.shape)).astype(np.uint8)
            for what, values in (("images", image), ("masks", mask)):
                Image.fromarray(values).save(folder / site / what / f"X{number:02}_{number % 2}.png")
    return folder


def simulations(folder: Path) -> Path:
    """Fields that decay, faster in one group than in the other."""
    random = np.random.default_rng(0)
    for rate, group in ((0.9, "slow"), (0.6, "fast")):
        for part in ("train", "test"):
            place = folder / group / part / "one"
            place.mkdir(parents=True)
            for name in ("u", "v"):
                start = random.random((1, 8, 8))
                np.save(place / f"{name}.npy", start * rate ** np.arange(24).reshape(-1, 1, 1))
    return folder


def run(home: Home, values: dict) -> int:
    """Drive a run to its end and verify it; returns the number of the newest version."""
    name = create_run(home, parse_spec({"name": "tiny", "rounds": 3, **values}))
    assert drive_run(home, name).ended == "completed"
    return verify_run(home, name).version


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["fedprox", "scaffold"])
def test_masks(tmp_path: Path, algorithm: str) -> None:
    version = run(
        Home(tmp_path / "home"),
        {
            "model": {"name": "unet", "args": {"width": 4, "depth": 2}},
            "data": {
                "name": "lungs",
                "folder": str(xrays(tmp_path / "data")),
                "side": 32,
                "test": 10,
                "shared": 10,
            },
            "partition": {
                "kind": "labels",
                "clients": 2,
                "args": {"sets": [[0, 1], [2, 3]]},
                "shared_fraction": 0.2,
            },
            "training": {"learning_rate": 0.1, "batch_size": 4, "epochs": 3},
            "algorithm": {"name": algorithm},
        },
    )
    assert version >= 1


@pytest.mark.slow
def test_fields(tmp_path: Path) -> None:
    version = run(
        Home(tmp_path / "home"),
        {
            "model": {"name": "surrogate", "args": {"width": 4, "depth": 0}},
            "data": {
                "name": "frames",
                "folder": str(simulations(tmp_path / "data")),
                "test": 10,
                "shared": 10,
            },
            "partition": {"kind": "labels", "clients": 2, "args": {"sets": [[0], [1]]}},
            "training": {"learning_rate": 0.05, "batch_size": 4, "epochs": 3},
            "algorithm": {"name": "fedavg"},
        },
    )
    assert version >= 1

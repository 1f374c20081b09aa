"""Small real runs for the end-to-end tests, and ways to start them in a process of their own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from foedus.rounds.home import Home
from foedus.rounds.runs import create_run
from foedus.rounds.spec import RunSpec, parse_spec

ROOT = Path(__file__).parents[2]


def tiny_spec(rounds: int = 2, **sections: Any) -> RunSpec:  # noqa: ANN401 - sections of a spec, as in TOML
    """A federation of real images that takes a fraction of a second per round."""
    return parse_spec(
        {
            "name": "tiny",
            "rounds": rounds,
            "model": {"name": "2nn"},
            "data": {"images": 600, "test": 60, "shared": 60, "source": "small"},
            "partition": {"kind": "iid", "clients": 3},
            "training": {"learning_rate": 0.1, "batch_size": 16},
            "policy": {"beta": -0.5, "epsilon": 0.3},
            **sections,
        }
    )


def new_run(home: Home, rounds: int, **sections: Any) -> str:  # noqa: ANN401 - as above
    """Write down a tiny run; returns its name."""
    return create_run(home, tiny_spec(rounds, **sections))


def start(home: Home, run: str) -> subprocess.Popen[str]:
    """Drive a run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.drive", str(home.root), run],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(home: Home, run: str) -> str:
    """Drive a run to its end in another process; returns the CID of its current version."""
    process = start(home, run)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output.strip()

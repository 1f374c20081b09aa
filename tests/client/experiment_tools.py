"""A small experiment, and a program that carries it out, to be killed: python experiment_tools.py HOME."""

import sys
from pathlib import Path
from typing import Any

from foedus.client.experiments.carry import carry_out
from foedus.client.experiments.spec import Experiment, parse_experiment
from foedus.rounds.home import Home
from foedus.rounds.progress import Progress
from foedus.site.settings import read_settings


def tiny_experiment(**about: Any) -> Experiment:  # noqa: ANN401 - as in TOML
    """Two regimes of Gray–Scott on a tiny grid, federated and alone."""
    values = {
        "rounds": 2,
        "experiment": {
            "title": "Tiny",
            "about": "Tiny.",
            "data": "simulations",
            "fast_rounds": 1,
            "groups": ["holes", "spots"],
            "pictures": "fields",
            "images": 2,
            "simulations": {
                "size": 16,
                "steps": 60,
                "frames": 31,
                "regimes": {"holes": {"F": 0.039, "k": 0.058}, "spots": {"F": 0.03, "k": 0.062}},
            },
            **about,
        },
        "model": {"name": "surrogate", "args": {"width": 4, "depth": 0}},
        "data": {"name": "frames", "test": 10, "shared": 10},
        "partition": {"kind": "labels", "clients": 2, "args": {"sets": [[0], [1]]}},
        "algorithm": {"name": "fedavg"},
        "policy": {"beta": -0.9, "epsilon": 1.0},
        "compare": [
            {"label": "together"},
            {"label": "only holes", "partition": {"clients": 1, "args": {"sets": [[0]]}}},
        ],
    }
    return parse_experiment("tiny", values)


def say(progress: Progress) -> None:
    """Print what happens, a line each."""
    print(progress.what, progress.round, flush=True)


if __name__ == "__main__":
    carry_out(tiny_experiment(), Home(Path(sys.argv[1])), read_settings(Path(sys.argv[1])), say)

"""Runs for the benchmarks: the same federation in several sizes, in a home folder that is thrown away."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.plain import Config
from benchmarks.result import CannotRun, Options
from foedus.core.errors import FoedusError
from foedus.rounds.home import Home
from foedus.rounds.runs import create_run
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.store import TensorFile

CLIENTS = 3
MU, BATCH, RATE = 0.1, 64, 0.01
_OPEN_POLICY = {"beta": -1.0, "epsilon": 1.0}  # every update passes and every vote is a yes


@contextmanager
def temporary_home(options: Options) -> Iterator[Home]:
    """A home folder on the scratch disk."""
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        yield Home(Path(folder) / "home")


def federation_spec(rounds: int, data: dict[str, Any]) -> RunSpec:
    """Three clients with iid data, the CNN, FedProx, one epoch a round."""
    return parse_spec(
        {
            "name": "benchmark",
            "rounds": rounds,
            "model": {"name": "cnn"},
            "data": data,
            "partition": {"kind": "iid", "clients": CLIENTS},
            "algorithm": {"name": "fedprox", "params": {"mu": MU}},
            "training": {"epochs": 1, "batch_size": BATCH, "learning_rate": RATE},
            "policy": _OPEN_POLICY,
        }
    )


def nano_spec(rounds: int) -> RunSpec:
    """80 examples a client, of which 64 are for training: one step a round."""
    return federation_spec(rounds, {"images": 440, "test": 100, "shared": 100, "source": "small"})


def big_spec(rounds: int, folder: Path, quick: bool) -> RunSpec:
    """A third each of the 60,000 training images, less the 250 of the shared set."""
    amount = {"images": 2000} if quick else {}
    return federation_spec(rounds, {"source": "folder", "folder": str(folder), **amount})


def new_run(home: Home, spec: RunSpec) -> str:
    """Write the run down."""
    try:
        return create_run(home, spec)
    except FoedusError as error:
        raise CannotRun(str(error)) from error


def plain_config(home: Home, run: str, spec: RunSpec, tuned: bool = True) -> str:
    """Describe to `benchmarks.plain` what this run does, once its data are dealt out. As JSON."""
    with (home.run_folder(run) / "data" / "client-1.safetensors").open("rb") as file:
        schema = TensorFile(file).schema
    config = Config(
        rounds=spec.rounds,
        clients=spec.partition.clients,
        train=schema["train_labels"].shape[0],
        val=schema["val_labels"].shape[0],
        shared=spec.data.shared,
        test=spec.data.test,
        folder=spec.data.folder,
        batch_size=spec.training.batch_size,
        learning_rate=spec.training.learning_rate,
        mu=MU,
        tuned=tuned,
    )
    return json.dumps(config.__dict__)


def task_seconds(home: Home, run: str, number: int) -> dict[str, list[float]]:
    """Return how long the tasks of a round took, by kind, as they say in their results."""
    found: dict[str, list[float]] = {}
    for path in sorted((home.run_folder(run) / "jobs").glob(f"r{number:05d}.*/*/result.json")):
        kind = path.parent.name.rpartition(".")[2]
        found.setdefault(kind, []).append(float(json.loads(path.read_bytes())["seconds"]))
    return found

"""`clients`: how many small clients one core trains per second, many at once and one by one.

Training only, from examples in memory to stacked weights. Measured in a process of its own with one thread
and the settings of a worker (`prepare_worker`), after one run to warm up.
"""

import json
import os
import subprocess
import sys
import time

import torch

from benchmarks.programs import ONE_THREAD, ROOT
from benchmarks.result import CannotRun, Line, Options, at_least, median
from foedus.learn.batched import train_batched, train_serial
from foedus.learn.examples import Examples
from foedus.learn.models import build_model, initial_weights
from foedus.learn.process import prepare_worker
from foedus.learn.training import TrainSettings

CLIENTS, EXAMPLES, REPEATS = 1000, 20, 9
BATCHES = (20, 10)
_TRAINERS = {
    "many at once": (train_batched, 7000),
    "one by one, the bits of a single client": (train_serial, 3000),
}


def run(options: Options) -> list[Line]:
    """Measure both trainers for one batch per client and for two."""
    clients, repeats = (20, 1) if options.quick else (CLIENTS, REPEATS)
    command = [sys.executable, "-m", "benchmarks.clients", str(clients), str(repeats)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotRun("training failed: " + "\n".join(done.stderr.splitlines()[-8:]))
    rates = dict(json.loads(done.stdout))
    note = (
        f"{clients} clients × {EXAMPLES} examples, MLP 784-32-10, one epoch, one thread; median of {repeats}"
    )
    return [
        Line(
            f"clients: {trainer}, batches of {batch}",
            median(rates[f"{trainer}/{batch}"]),
            "clients/s",
            at_least(target),
            note,
        )
        for trainer, (_, target) in _TRAINERS.items()
        for batch in BATCHES
    ]


def measure(clients: int, repeats: int) -> dict[str, list[float]]:
    """Return clients per second of each trainer and batch size, one number per repetition."""
    random = torch.Generator().manual_seed(1)
    data = [
        Examples(
            torch.randn(EXAMPLES, 1, 28, 28, generator=random),
            torch.randint(0, 10, (EXAMPLES,), generator=random),
        )
        for _ in range(clients)
    ]
    model, base, seeds = build_model("mlp"), initial_weights("mlp", {}, 1), range(clients)
    rates: dict[str, list[float]] = {}
    for _ in range(repeats + 1):  # in turns, so that other work on the machine meets all of them
        for name, (train, _) in _TRAINERS.items():
            for batch in BATCHES:
                began = time.perf_counter()
                train(model, base, data, TrainSettings(1, batch, 0.1), seeds)
                rates.setdefault(f"{name}/{batch}", []).append(clients / (time.perf_counter() - began))
    return {name: found[1:] for name, found in rates.items()}


if __name__ == "__main__":
    prepare_worker()
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))

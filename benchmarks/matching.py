"""`matching`: FedMA's server side: whose unit is whose in a layer of 512 units of ten clients, on one core.

The measured process is this module run as a program, with one thread, so that nothing else counts.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.programs import ONE_THREAD, ROOT
from benchmarks.result import CannotRun, Line, Options, at_most
from foedus.learn.matching.bbp import Growth, Prior, match
from foedus.learn.matching.exact import Rows

CLIENTS, WIDTH, INPUTS = 10, 512, 785  # the first hidden layer of a wide MNIST net, with its bias
GROWTHS: tuple[Growth, ...] = ("fixed", "bbp")


def run(options: Options) -> list[Line]:
    """Measure matching with five sweeps, for clients that resemble each other and for strangers."""
    width = WIDTH // 16 if options.quick else WIDTH
    command = [sys.executable, "-m", "benchmarks.matching", str(width)]
    environ = {**os.environ, **ONE_THREAD, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun("matching failed: " + "\n".join(done.stderr.splitlines()[-8:]))
    amount = f"{CLIENTS} clients, {width} units of {INPUTS} numbers, 5 sweeps"
    return [
        Line(f"matching: {what}", seconds, "s", at_most(20.0), amount)
        for what, seconds in json.loads(done.stdout).items()
    ]


def clients_like(noise: float, width: int) -> list[Rows]:
    """Return clients whose units are the same in another order, with noise relative to the units' size."""
    random = np.random.default_rng(0)
    units = 0.05 * random.normal(size=(width, INPUTS))
    return [
        units[random.permutation(width)] + 0.05 * noise * random.normal(size=units.shape)
        for _ in range(CLIENTS)
    ]


def main(width: int) -> None:
    """Print how many seconds each kind took."""
    match(clients_like(0.0, 4), Prior(), "load")  # loads what is loaded late
    seconds = {}
    for growth in GROWTHS:
        for kind, noise in (("alike", 0.6), ("strangers", 1000.0)):
            clients = [rows / max(1.0, noise) for rows in clients_like(noise, width)]
            start = time.perf_counter()
            match(clients, Prior(growth=growth), "benchmark")
            seconds[f"{growth} width, {kind}"] = time.perf_counter() - start
    sys.stdout.write(json.dumps(seconds) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))

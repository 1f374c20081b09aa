"""`aggregation`: merging 20 models of 10 million parameters from a store: memory and time.

The measured process is a program of its own (`python -m benchmarks.merging`), so that nothing else counts.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.programs import ONE_THREAD, ROOT
from benchmarks.result import CannotRun, Line, Options, at_most, median
from foedus.core.ids import Cid
from foedus.store import DirectoryStore, encode

MODELS, TENSORS, PARAMETERS = 20, 4, 10_000_000
REPEATS = 3


def run(options: Options) -> list[Line]:
    """Measure the streaming weighted mean."""
    parameters = PARAMETERS // 100 if options.quick else PARAMETERS
    models, repeats = (3, 1) if options.quick else (MODELS, REPEATS)
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        store = DirectoryStore(folder)
        cids = [_put_model(store, parameters, seed) for seed in range(models + 1)]  # one more: the server's
        memory = _measure("memory", folder, cids, 1)
        times = _measure("time", folder, cids, repeats)
    model_bytes = parameters * 4
    growth, beyond = (median(memory[name]) / model_bytes for name in ("growth_bytes", "beyond_bytes"))
    ratio = median([took / floor for took, floor in zip(times["merge"], times["floor"], strict=True)])
    amount = f"{models} models of {model_bytes / 1e6:g} MB, {TENSORS} tensors each"
    return [
        Line(
            "aggregation: memory in models", growth, "×", at_most(3.0), f"{amount}; server and result count"
        ),
        Line("aggregation: memory in models, without the server's", beyond, "×"),
        Line("aggregation: time ÷ (reading + multiply-add)", ratio, "×", at_most(2.0), amount),
        Line("aggregation: time", median(times["merge"]), "s"),
        Line("aggregation: reading and checking alone", median(times["read"]), "s"),
    ]


def _put_model(store: DirectoryStore, parameters: int, seed: int) -> Cid:
    random = np.random.default_rng(seed)
    size = parameters // TENSORS
    tensors = {f"layer-{i}": random.random(size, dtype=np.float32) for i in range(TENSORS)}
    return store.put(encode(tensors))


def _measure(what: str, folder: str, cids: list[Cid], repeats: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "benchmarks.merging", what, folder, str(repeats), *cids]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotRun("merging failed: " + "\n".join(done.stderr.splitlines()[-8:]))
    return dict(json.loads(done.stdout))

"""`robust`: time and memory of the robust rules, on updates read from a store.

The measured process is a program of its own (`python -m benchmarks.robust FOLDER REPEATS SERVER CID…`), which
takes a rule as JSON on its standard input and prints JSON.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.programs import ONE_THREAD, ROOT
from benchmarks.result import CannotRun, Line, Options, Target, at_most, median
from foedus.core.ids import Cid
from foedus.learn.robust import RobustRule, combine
from foedus.learn.robust.rule import RuleName
from foedus.learn.vectors import Difference
from foedus.store import DirectoryStore, TensorFile, encode

TENSORS, REPEATS, MIB = 4, 3, 1 << 20
_RULES: tuple[RuleName, ...] = (
    "median",
    "trimmed-mean",
    "krum",
    "multi-krum",
    "geometric-median",
    "centred-clipping",
)


def run(options: Options) -> list[Line]:
    """Measure the median of 20 large updates, and every rule on 50 updates, alone and after clip and mix."""
    part, few, many = (100, 3, 7) if options.quick else (1, 20, 50)
    hostile = many // 5
    rules = [RobustRule(name, hostile) for name in _RULES]
    rules += [RobustRule(name, hostile, 2.0, mix=True) for name in ("mean", *_RULES)]
    lines = _measure(options, few, 10_000_000 // part, [RobustRule("median", 1)], at_most(1.5))
    return lines + _measure(options, many, 1_000_000 // part, rules, at_most(5.0))


def _measure(
    options: Options, clients: int, parameters: int, rules: Sequence[RobustRule], target: Target
) -> list[Line]:
    lines = []
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        store = DirectoryStore(folder)
        server = _model(parameters, 0, {})
        cids = [store.put(encode(server))]
        cids += [store.put(encode(_model(parameters, seed, server))) for seed in range(1, clients + 1)]
        for rule in rules:
            found = _program(folder, cids, rule, 1 if options.quick else REPEATS)
            what = f"robust: {'clip, mix, ' * rule.mix}{rule.rule}, {clients} × {parameters / 1e6:g} M"
            growth, result = found["growth_bytes"][0] / MIB, parameters * 8 / MIB
            memory = f"memory grows by {growth:.0f} MiB, the result ({result:.0f}) included"
            lines.append(Line(what, median(found["seconds"]), "s", target, memory))
    return lines


def _model(parameters: int, seed: int, server: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    random, size = np.random.default_rng(seed), parameters // TENSORS
    moved = {f"layer-{i}": random.standard_normal(size, dtype=np.float32) for i in range(TENSORS)}
    return (
        {name: server[name] + values * np.float32(0.01) for name, values in moved.items()}
        if server
        else moved
    )


def _program(folder: str, cids: Sequence[Cid], rule: RobustRule, repeats: int) -> dict[str, list[float]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.robust", folder, str(repeats), *cids],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        input=json.dumps(dataclasses.asdict(rule)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotRun("combining failed: " + "\n".join(done.stderr.splitlines()[-8:]))
    return dict(json.loads(done.stdout))


def main(arguments: Sequence[str]) -> None:
    """Combine the updates by the rule asked for, and print seconds and growth in bytes."""
    folder, repeats, *cids = arguments
    store, rule = DirectoryStore(folder), RobustRule(**json.load(sys.stdin))
    with store.open(Cid(cids[0])) as file:
        server = TensorFile(file).read_all()
    sizes = {name: values.size for name, values in server.items()}
    found: dict[str, list[float]] = {"seconds": [], "growth_bytes": []}
    with ExitStack() as stack:
        files = [TensorFile(stack.enter_context(store.open(Cid(cid)))) for cid in cids[1:]]
        vectors = [Difference(file, server) for file in files]
        for _ in range(int(repeats)):
            before, began = _fresh_peak(), time.perf_counter()
            combine(vectors, [1.0] * len(vectors), sizes, list(sizes), rule)
            found["seconds"].append(time.perf_counter() - began)
            found["growth_bytes"].append(_status_bytes("VmHWM") - before)
    print(json.dumps(found))


def _fresh_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        raise CannotRun("the peak of a process's memory can be measured on Linux only") from error
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(sys.argv[1:])

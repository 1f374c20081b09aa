"""`store`: putting and reading 100 MB durably and verified, and packing a model."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.result import Line, Options, at_least, at_most, median
from foedus.store import DirectoryStore, cid_of, encode

OBJECT_BYTES, MODEL_BYTES = 100_000_000, 40_000_000
REPEATS = 7


def run(options: Options) -> list[Line]:
    """Measure the directory store against plain files, by turns."""
    size, repeats = (1_000_000, 2) if options.quick else (OBJECT_BYTES, REPEATS)
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        times = _measure(Path(folder), size, repeats)
    rates = {name: size / 1e6 / median(seconds) for name, seconds in times.items()}
    put = median([plain / ours for ours, plain in zip(times["put"], times["write"], strict=True)])
    get = median([plain / ours for ours, plain in zip(times["get"], times["read"], strict=True)])
    return [
        Line("store: put, durable", rates["put"], "MB/s", at_least(150), f"{put:.2f} of write + fsync"),
        Line("store: read, verified", rates["get"], "MB/s", at_least(350), f"{get:.2f} of read + sha256"),
        Line("store: plain write + fsync", rates["write"], "MB/s"),
        Line("store: plain read + sha256", rates["read"], "MB/s"),
        _packing(1_000_000 if options.quick else MODEL_BYTES, repeats),
    ]


def _measure(folder: Path, size: int, repeats: int) -> dict[str, list[float]]:
    store, plain = DirectoryStore(folder / "store"), folder / "plain"
    data = np.random.default_rng(0).bytes(size)
    times: dict[str, list[float]] = {name: [] for name in ("put", "write", "get", "read")}
    cid = store.put(data)
    for _ in range(repeats):
        store.unpin(cid)
        store.gc()
        plain.unlink(missing_ok=True)
        times["put"].append(_seconds(lambda: store.put(data)))
        times["write"].append(_seconds(lambda: _write(plain, data)))
        times["get"].append(_seconds(lambda: store.get(cid)))
        times["read"].append(_seconds(lambda: hashlib.sha256(plain.read_bytes()).digest()))
    return times


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _packing(size: int, repeats: int) -> Line:
    """Compare the hashing of a packed model with that of the same bytes in one piece; processor time."""
    random = np.random.default_rng(1)
    tensors = {f"layer-{i}": random.random(size // 16 - i, dtype=np.float32) for i in range(4)}
    whole = b"".join(encode(tensors))
    assert cid_of(whole) == cid_of(encode(tensors))
    more = []
    for _ in range(3 * repeats):
        packed = _seconds(lambda: cid_of(encode(tensors)), time.process_time)
        more.append(packed - _seconds(lambda: cid_of(whole), time.process_time))
    what = f"store: packing a {size / 1e6:g} MB model, beyond hashing it"
    return Line(what, max(0.0, median(more)) * 1000, "ms", at_most(10))


def _seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    action()
    return clock() - began

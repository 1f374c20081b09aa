"""The measured process of `aggregation`: `python -m benchmarks.merging memory|time STORE REPEATS CID…`.

The first CID is the server's model, the others are updates. Prints JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.result import CannotRun
from foedus.core.ids import Cid
from foedus.learn.aggregation import weighted_mean
from foedus.learn.weights import Array, Parts, Weights
from foedus.store import DirectoryStore, TensorFile

_BLOCK = 1 << 18


@contextmanager
def _opened(store: DirectoryStore, cids: Sequence[Cid]) -> Iterator[list[TensorFile]]:
    with ExitStack() as stack:
        yield [TensorFile(stack.enter_context(store.open(cid))) for cid in cids]


def _server(store: DirectoryStore, cid: Cid) -> Mapping[str, Array]:
    with store.open(cid) as file:
        return TensorFile(file).read_all()


def _merge(store: DirectoryStore, cids: Sequence[Cid], server: Weights) -> Weights:
    with _opened(store, cids) as sources:
        return weighted_mean(sources, range(1, len(sources) + 1), server, Parts(tuple(server)))


def measure_memory(store: DirectoryStore, cids: Sequence[Cid], repeats: int) -> dict[str, list[float]]:
    """Return by how much the process grows at most, server's model and result included."""
    _reset_peak()
    before = _status_bytes("VmRSS")
    server = _server(store, cids[0])
    with_server = _status_bytes("VmRSS")
    merged = _merge(store, cids[1:], server)
    assert merged
    peak = _status_bytes("VmHWM")
    return {"growth_bytes": [peak - before] * repeats, "beyond_bytes": [peak - with_server] * repeats}


def measure_time(store: DirectoryStore, cids: Sequence[Cid], repeats: int) -> dict[str, list[float]]:
    """Time, by turns: the merge; reading all tensors with the same reader; reading and multiply-add."""
    server = _server(store, cids[0])
    found: dict[str, list[float]] = {"merge": [], "read": [], "floor": []}
    _read(store, cids[1:], lambda values, weight: None)  # now the files are in the page cache
    for _ in range(repeats):
        found["merge"].append(_seconds(lambda: _merge(store, cids[1:], server)))
        read = _seconds(lambda: _read(store, cids[1:], lambda values, weight: None))
        found["read"].append(read)
        found["floor"].append(read + _multiply_adds(server, len(cids) - 1))
    return found


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _read(store: DirectoryStore, cids: Sequence[Cid], use: Callable[[Array, float], None]) -> None:
    with _opened(store, cids) as sources:
        for name in sources[0].names():
            for number, source in enumerate(sources):
                use(source.read(name), number + 1.0)


def _multiply_adds(server: Weights, models: int) -> float:
    """Return the seconds of one float64 multiply-add per value, on data in memory, block by block."""
    scratch = np.empty(_BLOCK)
    took = 0.0
    for values in server.values():
        sums = np.zeros(values.size)
        took += _seconds(lambda values=values, sums=sums: _accumulate(values, sums, scratch, models))
    return took


def _accumulate(values: Array, sums: Array, scratch: Array, models: int) -> None:
    for number in range(models):
        for start in range(0, values.size, _BLOCK):
            target = sums[start : start + _BLOCK]
            product = scratch[: target.size]
            np.multiply(values[start : start + _BLOCK], number + 1.0, out=product, dtype=np.float64)
            np.add(target, product, out=target)


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        raise CannotRun("the peak of a process's memory can be measured on Linux only") from error


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise CannotRun(f"the kernel does not tell {name}")


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for."""
    what, folder, repeats, *cids = arguments
    measure = {"memory": measure_memory, "time": measure_time}[what]
    print(json.dumps(measure(DirectoryStore(folder), [Cid(cid) for cid in cids], int(repeats))))


if __name__ == "__main__":
    main(sys.argv[1:])

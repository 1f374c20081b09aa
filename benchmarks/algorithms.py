"""`algorithms`: what merging costs beyond FedAvg's merge, for every algorithm that merges whole models.

Each algorithm merges updates from a store into a state that it made itself in a merge before, so that its
moments, histories and control variates are there.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from benchmarks.result import Line, Options, at_most, median
from foedus.core.ids import ClientId
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update
from foedus.learn.weights import MemorySource, Parts, TensorSource, Weights
from foedus.store import DirectoryStore, TensorFile, encode

MODELS, TENSORS, PARAMETERS = 10, 4, 4_000_000
REPEATS = 5
_EXTRAS = {"@steps": 7, "@batch": 64}
_BOUNDED = frozenset({"fedadagrad", "fedadam", "fedavgm", "fedheal", "fedyogi"})
_SKIPPED = frozenset({"fedavg", "fedprox", "fedma"})  # the measure itself, its twin, and what needs layers


def run(options: Options) -> list[Line]:
    """Measure one merge of each algorithm against FedAvg's."""
    parameters = PARAMETERS // 100 if options.quick else PARAMETERS
    models, repeats = (3, 1) if options.quick else (MODELS, REPEATS)
    amount = f"{models} models of {parameters * 4 / 1e6:g} MB"
    server = _model(parameters, 0)
    lines = []
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        for name in sorted({info.name for info in describe()} - _SKIPPED):
            merge = _Merge(DirectoryStore(folder), get_strategy(name), server, models)
            average = _Merge(merge.store, get_strategy("fedavg"), server, models)
            target = at_most(3.0) if name in _BOUNDED else None
            for is_loaded, where in ((False, "a store"), (True, "memory")):
                added = []
                for _ in range(repeats):
                    base = average.seconds(is_loaded)
                    added.append((merge.seconds(is_loaded) - base) / base)
                what = f"algorithms: {name}, time added to FedAvg's merge"
                lines.append(Line(what, median(added), "×", target, f"{amount}, from {where}"))
    return lines


class _Merge:
    """One algorithm with its updates in the store, and the state after a first merge."""

    def __init__(self, store: DirectoryStore, strategy: Strategy, server: Weights, models: int) -> None:
        self.store, self.strategy = store, strategy
        self.rules = MergeRules(Parts(tuple(server)))
        specs = strategy.update_specs(ServerState(server), ClientId("a"), self.rules)
        extras = {name: np.array(_EXTRAS[name]) for name in specs if name.startswith("@")}
        size = sum(values.size for values in server.values())
        self.cids = [
            store.put(encode({**_model(size, seed), **_distinct(extras, seed)}))
            for seed in range(1, models + 1)
        ]
        self.state = ServerState(server)
        with self._opened(is_loaded=False) as updates:
            self.state = self._merged(updates)

    def seconds(self, is_loaded: bool) -> float:
        """Time one merge of files in the store, or of what they hold already in memory."""
        with self._opened(is_loaded) as updates:
            began = time.perf_counter()
            self._merged(updates)
            return time.perf_counter() - began

    @contextmanager
    def _opened(self, is_loaded: bool) -> Iterator[list[Update]]:
        with ExitStack() as stack:
            files = [TensorFile(stack.enter_context(self.store.open(cid))) for cid in self.cids]
            sources: Sequence[TensorSource] = files
            if is_loaded:
                sources = [MemorySource(_read(file)) for file in files]
            yield [
                Update(ClientId(f"client-{number}"), source, number + 1)
                for number, source in enumerate(sources)
            ]

    def _merged(self, updates: Sequence[Update]) -> ServerState:
        return self.strategy.aggregate(self.state, updates, self.rules)


def _model(parameters: int, seed: int) -> Weights:
    random = np.random.default_rng(seed)
    size = parameters // TENSORS
    return {f"layer-{i}": random.standard_normal(size, dtype=np.float32) for i in range(TENSORS)}


def _read(file: TensorFile) -> Weights:
    return {name: file.read(name) for name in file.names()}


def _distinct(extras: Weights, seed: int) -> Weights:
    """Give every client another number of steps: equal ones are FedAvg's merge."""
    return {name: values + np.int64(seed) for name, values in extras.items()}

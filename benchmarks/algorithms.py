"""`algorithms`: what merging costs beyond FedAvg's merge, for every algorithm that merges whole models.

Each algorithm merges updates from a store into a state that it made itself in a merge before, so that its
moments, histories and control variates are there.
"""

import tempfile
import time
from contextlib import ExitStack

import numpy as np

from benchmarks.result import Line, Options, at_most, median
from foedus.core.ids import ClientId
from foedus.learn.algorithms import describe, get_strategy
from foedus.learn.strategy import MergeRules, ServerState, Strategy, Update
from foedus.learn.weights import Parts, Weights
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
            added = []
            for _ in range(repeats):
                base = average.seconds()
                added.append((merge.seconds() - base) / base)
            target = at_most(3.0) if name in _BOUNDED else None
            what = f"algorithms: {name}, time added to FedAvg's merge"
            lines.append(Line(what, median(added), "×", target, amount))
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
        self.state = self._merged()

    def seconds(self) -> float:
        """Time one merge."""
        began = time.perf_counter()
        self._merged()
        return time.perf_counter() - began

    def _merged(self) -> ServerState:
        with ExitStack() as stack:
            files = [TensorFile(stack.enter_context(self.store.open(cid))) for cid in self.cids]
            updates = [
                Update(ClientId(f"client-{number}"), file, number + 1) for number, file in enumerate(files)
            ]
            return self.strategy.aggregate(self.state, updates, self.rules)


def _model(parameters: int, seed: int) -> Weights:
    random = np.random.default_rng(seed)
    size = parameters // TENSORS
    return {f"layer-{i}": random.standard_normal(size, dtype=np.float32) for i in range(TENSORS)}


def _distinct(extras: Weights, seed: int) -> Weights:
    """Give every client another number of steps: equal ones are FedAvg's merge."""
    return {name: values + np.int64(seed) for name, values in extras.items()}

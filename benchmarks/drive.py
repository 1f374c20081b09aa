"""Drives a run to its end, for the benchmarks, and tells as one JSON line per round what it took, for what.

`python -m benchmarks.drive HOME RUN [--paced]`. Paced, each round after the first begins when a line arrives
on standard input, so that several programs can take turns. `seconds` is the wall time of the round; the
other figures are seconds spent inside it by the driver: `chain` (all use of the ledger), `chain_cpu` (of
which this was computing), `store` (putting objects), `submit` and `wait` (the launcher; `wait` is for tasks).
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from foedus import chain
from foedus.chain import EmbeddedLedger
from foedus.core.ids import Cid, NativeId
from foedus.core.protocols import Buffer
from foedus.core.records import Call, Event, JobSpec, JobStatus, Receipt, Value
from foedus.launch import LocalLauncher
from foedus.rounds import backend, runs
from foedus.rounds.home import Home
from foedus.rounds.progress import Progress
from foedus.store import DirectoryStore

_SPENT: Counter[str] = Counter()  # this program drives one run, once


@contextmanager
def _spending(on: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        _SPENT[on] += time.perf_counter() - wall  # type: ignore[assignment]  # seconds, not a count
        _SPENT[f"{on}_cpu"] += time.thread_time() - cpu  # type: ignore[assignment]  # as above


class _Ledger(EmbeddedLedger):
    def send(self, calls: Sequence[Call]) -> list[Receipt]:
        with _spending("chain"):
            return super().send(calls)

    def call(self, function: str, *args: Value) -> Value | tuple[Value, ...]:
        with _spending("chain"):
            return super().call(function, *args)

    def events(self, since: int = 0) -> Iterator[Event]:
        with _spending("chain"):
            return iter(list(super().events(since)))


class _Store(DirectoryStore):
    def put(self, data: Buffer | Iterable[Buffer], *, pin: bool = True) -> Cid:
        with _spending("store"):
            return super().put(data, pin=pin)


class _Launcher(LocalLauncher):
    def submit(self, spec: JobSpec, key: str) -> NativeId:
        with _spending("submit"):
            return super().submit(spec, key)

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        with _spending("wait"):
            return super().states(ids, wait_s)


_MEASURED = (
    (chain, "EmbeddedLedger", _Ledger),
    (runs, "DirectoryStore", _Store),
    (backend, "LocalLauncher", _Launcher),
)


class _Teller:
    """An observer that prints what each round took."""

    def __init__(self, is_paced: bool) -> None:
        self._is_paced = is_paced
        self._began = time.perf_counter()
        self._outcome = ""

    def __call__(self, progress: Progress) -> None:
        if progress.what == "round-ended":
            self._outcome = str(progress.values["outcome"])
            self._tell(progress.round)
        elif progress.what == "round" and progress.round > 1:  # the first one is open before anybody listens
            if self._is_paced and not sys.stdin.readline():
                sys.exit("nobody waits for the next round any more")
            self._begin()

    def _tell(self, number: int) -> None:
        seconds = time.perf_counter() - self._began
        figures = {name: round(value, 6) for name, value in _SPENT.items()}
        print(
            json.dumps({"round": number, "seconds": seconds, "outcome": self._outcome, **figures}), flush=True
        )

    def _begin(self) -> None:
        _SPENT.clear()
        self._began = time.perf_counter()


def main(arguments: Sequence[str]) -> None:
    """Drive the run that the command line names."""
    home, run, *rest = arguments
    for module, name, measured in _MEASURED:
        assert hasattr(module, name), f"runs make their {name} elsewhere now"
        setattr(module, name, measured)
    runs.drive_run(Home(Path(home)), run, _Teller("--paced" in rest))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Checkpoints of a train task in its job folder, and the warning that the batch job's time is nearly over.

A checkpoint carries a seal over its bytes, the task's spec and the training's name. A file that is damaged,
or belongs to something else, is ignored: the task starts again from the beginning.
"""

import hashlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from foedus.core.canonical import canonical_json
from foedus.core.errors import Interrupted, UpdateRefused
from foedus.launch import JobFolder
from foedus.learn.weights import Array, Specs, Weights
from foedus.store import Schema, TensorFile, TensorSpec, encode

_SEAL = "seal"
_FORMAT = b"foedus checkpoint 1"  # changes with what a training keeps


class FolderCheckpoints:
    """`foedus.learn.checkpoints.Checkpoints` in a job folder: every `every_s` seconds, and when warned."""

    def __init__(
        self, folder: JobFolder, every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._every_s, self._clock = folder, every_s, clock
        self._task = hashlib.sha256(canonical_json(folder.read_spec())).digest()
        self._names: set[str] = set()
        self._is_warned = False
        self._due_at = clock() + every_s

    def warn(self) -> None:
        """Have the next step save and raise `Interrupted`. A signal handler may call it."""
        self._is_warned = True

    def load(self, name: str, specs: Specs) -> Weights | None:
        """Return what this or an earlier attempt saved last; None when that is nothing usable.

        Raises ValueError when two trainings of the task have the same name.
        """
        if name in self._names:
            raise ValueError(f"two trainings of one turn are called {name!r}; give each its own name")
        self._names.add(name)
        try:
            tensors = self._read(name, specs)
        except (OSError, ValueError, UpdateRefused) as error:
            print(f"The checkpoint is not usable, the task starts from the beginning: {error}", flush=True)
            return None
        if tensors is not None:
            print("The task goes on from a checkpoint.", flush=True)
        return tensors

    def is_due(self) -> bool:
        """Tell whether the time has come, or the warning."""
        return self._is_warned or self._clock() >= self._due_at

    def save(self, name: str, tensors: Weights) -> None:
        """Replace the checkpoint durably. Raises `Interrupted` after a warning.

        A folder that cannot be written to is told of, and training goes on: it may well end in time.
        """
        is_last, self._is_warned = self._is_warned, False
        seal = self._seal(name, tensors)
        try:
            self._folder.write_checkpoint(encode({**tensors, _SEAL: seal}))
        except OSError as error:
            print(f"The checkpoint could not be written: {error}", file=sys.stderr)
            is_last = False
        self._due_at = self._clock() + self._every_s
        if is_last:
            raise Interrupted

    def _read(self, name: str, specs: Specs) -> Weights | None:
        file = self._folder.open_checkpoint()
        if file is None:
            return None
        expected = {each: TensorSpec(*spec) for each, spec in specs.items()}
        with file:
            tensors = TensorFile(file, Schema({**expected, _SEAL: TensorSpec("U8", (32,))})).read_all()
        if tensors.pop(_SEAL).tobytes() != self._seal(name, tensors).tobytes():
            raise ValueError("it is damaged, or another task's")
        return tensors

    def _seal(self, name: str, tensors: Weights) -> Array:
        digest = hashlib.sha256(canonical_json([_FORMAT.decode(), self._task.hex(), name]))
        for chunk in encode(tensors):
            digest.update(chunk)
        return np.frombuffer(digest.digest(), np.uint8)


@contextmanager
def checkpoints_in(folder: JobFolder, every_s: float) -> Iterator[FolderCheckpoints]:
    """Keep checkpoints in the folder; within the block SIGUSR1 is the warning.

    Only a process's main thread can listen to signals: elsewhere there are checkpoints, but no warning.
    """
    checkpoints = FolderCheckpoints(folder, every_s)
    if threading.current_thread() is not threading.main_thread():
        yield checkpoints
        return
    before = signal.signal(signal.SIGUSR1, lambda number, frame: checkpoints.warn())
    try:
        yield checkpoints
    finally:
        signal.signal(signal.SIGUSR1, before)

"""Runs a third party's program inside a batch job; docs/how-to/own-application.md tells its author how."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from foedus.apps.files import OUTPUT, filled
from foedus.apps.order import Order
from foedus.apps.parameters import Value
from foedus.apps.warning import on_warning
from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import Interrupted, TaskFailed
from foedus.launch import JobFolder
from foedus.launch import folder as names
from foedus.rounds.home import Home

AGAIN: Final = os.EX_TEMPFAIL
"""75: the program has saved and wants to be continued in the next attempt."""

INPUTS: Final = "inputs"
_POLL_S: Final = 0.25
_LAST_LINES: Final = 15
_EVENTS_READ_BYTES: Final = 256 << 10
_VALUES_LIMIT_BYTES: Final = 1 << 20


def run_program(folder: JobFolder) -> None:
    """Run the command of `spec.json`, write the result. Raises `TaskFailed`, or `Interrupted` for code 75."""
    order, began = Order.read(folder), time.monotonic()
    output = folder.make_output()
    with _inputs(folder, order) as (inputs, parameters):
        texts = {name: _text(value) for name, value in parameters.items()} | {OUTPUT: str(output)}
        command = [filled(word, texts) for word in order.command]
        code = _Run(folder, order.keeps_checkpoints).wait(
            command, _environment(folder, order, inputs), output
        )
    if code == AGAIN and order.keeps_checkpoints:
        raise Interrupted
    if code:
        raise TaskFailed(f"the program {_ended(code)}{_last_words(folder)}")
    folder.finish(
        {
            "application": order.application,
            "files": _files_in(output),
            "values": _values(output),
            "seconds": round(time.monotonic() - began, 3),
        }
    )


class _Run:
    """One start of the program, and the events that it writes meanwhile."""

    def __init__(self, folder: JobFolder, is_warned: bool) -> None:
        self.folder, self.is_warned = folder, is_warned
        self.process: subprocess.Popen[bytes] | None = None
        self.read_bytes = 0

    def wait(self, command: list[str], environment: Mapping[str, str], output: Path) -> int:
        """Return the exit code, or minus the signal that ended it."""
        # Without a handler of its own the signal would end the program: so only one that asks for it gets it.
        with on_warning(self._warn) if self.is_warned else nullcontext():
            try:
                self.process = subprocess.Popen(
                    command, cwd=output, env=environment, stdin=subprocess.DEVNULL
                )
            except OSError as error:
                raise TaskFailed(
                    f"the program {command[0]!r} cannot be started on this machine: {error.strerror}",
                    "Is it installed on the compute nodes, and executable? Give its whole path.",
                ) from None
            events = Path(environment["FOEDUS_EVENTS"])
            while True:
                try:
                    return self.process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    self._relay(events)
                finally:
                    if self.process.returncode is not None:
                        self._relay(events)

    def _warn(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGUSR1)

    def _relay(self, path: Path) -> None:
        """Emit the newest event: who watches needs no more than four a second."""
        try:
            with path.open("rb") as file:
                file.seek(self.read_bytes)
                data = file.read(_EVENTS_READ_BYTES)
        except FileNotFoundError:
            return
        end = data.rfind(b"\n") + 1
        self.read_bytes += end or (len(data) if len(data) == _EVENTS_READ_BYTES else 0)
        for line in reversed(data[:end].splitlines()):
            event = _event(line)
            if event is not None:
                self.folder.emit(event)
                return


def _event(line: bytes) -> Mapping[str, Json] | None:
    """Return one line as an event of ours: whatever JSON the author's library writes will do."""
    try:
        event = json.loads(line)
        canonical_json(event)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and len(line) <= names.EVENT_LIMIT_BYTES // 2 else None


@contextmanager
def _inputs(folder: JobFolder, order: Order) -> Iterator[tuple[Path, Mapping[str, Value]]]:
    """Make the folder with what the program is to read; it is gone when the program has ended.

    Yields it, and the parameters in which names of datasets have become paths of files in it.
    """
    path = folder.outputs / INPUTS
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        parameters = {**order.parameters, **{name: _export(path, order, name) for name in order.datasets}}
        (path / "parameters.json").write_bytes(canonical_json(parameters))
        yield path, parameters
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _export(inputs: Path, order: Order, parameter: str) -> str:
    """Write a dataset after its recipe for a program that knows nothing of ours; return the file's path."""
    import numpy as np

    from foedus.apps.datasets.loading import load

    found = load(Home(Path(order.home)), str(order.parameters[parameter]))
    arrays: dict[str, Any] = {"values": found.values, "parts": found.parts}
    if found.labels is not None:
        arrays["labels"] = found.labels
    path = inputs / f"{parameter}.npz"
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return str(path)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(folder: JobFolder, order: Order, inputs: Path) -> dict[str, str]:
    """Return our own environment, which holds no secrets, and where things are."""
    found = {
        "FOEDUS_HOME": order.home,
        "FOEDUS_JOB_FOLDER": str(folder.path),
        "FOEDUS_OUTPUT": str(folder.make_output()),
        "FOEDUS_PARAMETERS": str(inputs / "parameters.json"),
        "FOEDUS_EVENTS": str(inputs / "events.jsonl"),
        "FOEDUS_CPUS": str(order.resources.cpus),
    }
    before = next((one / names.OUTPUT for one in folder.earlier()[1:] if (one / names.OUTPUT).is_dir()), None)
    if before is not None or any(os.scandir(folder.make_output())):
        found["FOEDUS_OUTPUT_BEFORE"] = str(before or folder.make_output())
    return {**os.environ, **found}


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by the signal {signal.strsignal(-code) or -code}"
    return f"ended with exit code {code}"


def _last_words(folder: JobFolder) -> str:
    lines = folder.read_log().rstrip().splitlines()[-_LAST_LINES:]
    return "; its last lines:\n" + "\n".join(lines) if lines else " and wrote nothing to its log"


def _files_in(output: Path) -> int:
    return sum(path.is_file() and not path.is_symlink() for path in output.rglob("*"))


def _values(output: Path) -> dict[str, Any]:
    """Return what the program says of its outcome in `result.json` of its output, if it does."""
    path = output / names.RESULT
    if not path.is_file() or path.is_symlink() or path.stat().st_size > _VALUES_LIMIT_BYTES:
        return {}
    return dict(_event(path.read_bytes()) or {})

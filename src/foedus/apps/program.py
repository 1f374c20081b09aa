"""Runs a third party's program inside a batch job; docs/how-to/own-application.md tells its author how."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final

from foedus.apps._inputs import export, folder_for_inputs
from foedus.apps.files import OUTPUT, filled
from foedus.apps.order import Order, home_of
from foedus.apps.parameters import Value
from foedus.apps.warning import on_warning
from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import Interrupted, TaskFailed
from foedus.launch import JobFolder
from foedus.launch import folder as names

AGAIN: Final = os.EX_TEMPFAIL
"""75: the program has saved and wants to be continued in the next attempt."""

_PARAMETERS, _EVENTS = "parameters.json", "events.jsonl"
_POLL_S: Final = 0.25
_LAST_LINES: Final = 15
_LONGEST_EVENT_BYTES: Final = names.EVENT_LIMIT_BYTES // 2
_VALUES_LIMIT_BYTES: Final = 1 << 20


def run_program(folder: JobFolder) -> None:
    """Run the command of `spec.json`, write the result. Raises `TaskFailed`, or `Interrupted` for code 75."""
    order, began, log_began = Order.read(folder), time.monotonic(), _log_end(folder)
    output = folder.make_output()
    with folder_for_inputs(folder) as inputs:
        parameters = _given(inputs, folder, order)
        texts = {name: _text(value) for name, value in parameters.items()} | {OUTPUT: str(output)}
        command = [filled(word, texts) for word in order.command]
        code = _Run(folder, order.keeps_checkpoints).wait(
            command, _environment(folder, order, inputs), output
        )
    if code == AGAIN and order.keeps_checkpoints:
        raise Interrupted
    if code:
        raise TaskFailed(f"the program {_ended(code)}{_last_words(folder, log_began)}")
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
        self.newest: Mapping[str, Json] = {}

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
            inputs = JobFolder(Path(environment["FOEDUS_EVENTS"]).parent)
            while True:
                try:
                    return self.process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    self._relay(inputs)
                finally:
                    if self.process.returncode is not None:
                        self._relay(inputs)

    def _warn(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGUSR1)

    def _relay(self, inputs: JobFolder) -> None:
        """Emit the newest event: who watches needs no more than four a second.

        What is no event, or no file, is passed over: showing progress is no reason to fail.
        """
        lines = inputs.read_tail(_EVENTS).rpartition("\n")[0].split("\n")
        event = next((found for line in reversed(lines) if (found := _event(line)) is not None), None)
        if event is not None and event != self.newest:
            self.newest = event
            with suppress(OSError, ValueError):
                self.folder.emit(event)


def _event(line: str) -> Mapping[str, Json] | None:
    """Return one line as an event of ours: whatever JSON the author's library writes will do."""
    try:
        return _object(line) if len(line) <= _LONGEST_EVENT_BYTES else None
    except ValueError:
        return None


def _object(text: str | bytes) -> Mapping[str, Json]:
    """Return a JSON object that canonical JSON can carry. Raises ValueError."""
    try:
        found = json.loads(text)
        canonical_json(found)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _given(inputs: Path, folder: JobFolder, order: Order) -> Mapping[str, Value]:
    """Return the parameters, in which names of datasets have become paths of files in `inputs`."""
    datasets = {name: order.parameters[name] for name in order.datasets}
    paths = {name: export(inputs, home_of(folder), str(value), name) for name, value in datasets.items()}
    parameters = {**order.parameters, **paths}
    (inputs / _PARAMETERS).write_bytes(canonical_json(parameters))
    return parameters


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(folder: JobFolder, order: Order, inputs: Path) -> dict[str, str]:
    """Return our own environment, which holds no secrets, and where things are.

    Python would keep what it prints until its buffer is full: nobody could watch it, and a killed program's
    last words would be lost. Who wants a buffer says so with an empty PYTHONUNBUFFERED.
    """
    found = {
        "FOEDUS_HOME": str(home_of(folder).root),
        "FOEDUS_JOB_FOLDER": str(folder.path),
        "FOEDUS_OUTPUT": str(folder.make_output()),
        "FOEDUS_PARAMETERS": str(inputs / _PARAMETERS),
        "FOEDUS_EVENTS": str(inputs / _EVENTS),
        "FOEDUS_CPUS": str(order.resources.cpus),
    }
    before = _output_before(folder)
    if before is not None:
        found["FOEDUS_OUTPUT_BEFORE"] = str(before)
    return {"PYTHONUNBUFFERED": "1", **os.environ, **found}


def _output_before(folder: JobFolder) -> Path | None:
    """Return what an earlier attempt left: one that had saved and asked to be continued, else the newest.

    An attempt may have died before it wrote anything, or amid its files.
    """
    attempts = [one for one in folder.earlier()[1:] if _is_filled(one / names.OUTPUT)]
    saved = [one for one in attempts if _has_saved(JobFolder(one))]
    if attempts:
        return (saved or attempts)[0] / names.OUTPUT
    return folder.make_output() if _is_filled(folder.make_output()) else None


def _is_filled(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _has_saved(attempt: JobFolder) -> bool:
    failure = attempt.read_failure()
    return failure is not None and failure.kind == Interrupted.__name__


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by the signal {signal.strsignal(-code) or -code}"
    return f"ended with exit code {code}"


def _log_end(folder: JobFolder) -> int:
    return folder.read_log_from(-1)[1]


def _last_words(folder: JobFolder, log_began: int) -> str:
    """Say what the log ends with since this attempt began: earlier ones wrote to the same file."""
    start = max(log_began, _log_end(folder) - names.LOG_TAIL_BYTES)
    lines = folder.read_log_from(start)[0].decode(errors="replace").rstrip().splitlines()[-_LAST_LINES:]
    return "; its last lines:\n" + "\n".join(lines) if lines else " and wrote nothing to its log"


def _files_in(output: Path) -> int:
    return sum(path.is_file() and not path.is_symlink() for path in output.rglob("*"))


def _values(output: Path) -> Mapping[str, Json]:
    """Return what the program says of its outcome in `result.json` of its output, if it does.

    The log tells why it was left out.
    """
    path = output / names.RESULT
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        if path.stat().st_size > _VALUES_LIMIT_BYTES:
            raise ValueError(f"it is larger than {_VALUES_LIMIT_BYTES:,} bytes")
        return _object(path.read_bytes())
    except (OSError, ValueError) as error:
        print(f"The program's {names.RESULT} is not part of the result: {error}", flush=True)
        return {}

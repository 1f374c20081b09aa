"""The job folder: the one protocol between whoever submits a job and whoever runs it.

`spec.json` goes in; `events.jsonl` and `out.log` grow; `update.safetensors` (and `state.parts`,
`memory.safetensors`, `output/`) and then, last, `result.json` come out (or `failure.json`). It needs neither
network nor database, so it works on compute nodes without outside access. docs/reference/job-folder.md
describes it for readers of other languages.
Whatever is read may have been written by somebody hostile.

On a cluster several attempts of a job may be under way without knowing of each other: a node that was cut off
goes on while the scheduler starts the job elsewhere. So each attempt writes what comes out into a sub-folder
of its own, and whoever submitted takes over one of them (`adopt`).
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.protocols import Buffer
from foedus.core.records import JobStatus, Resources
from foedus.launch import _attempts, _files, _notes
from foedus.launch._failure import Failure, describe, printable

SPEC, KEY, EVENTS, LOG = "spec.json", "job.json", "events.jsonl", "out.log"
UPDATE, RESULT, FAILURE = "update.safetensors", "result.json", "failure.json"
STATE, MEMORY = "state.parts", "memory.safetensors"
CHECKPOINT, OUTPUT, EXIT = "checkpoint.safetensors", "output", "exit.json"
_WRITTEN = (UPDATE, STATE, MEMORY, EXIT, FAILURE, RESULT)  # the result last: its presence means completed
_TEMPORARIES = tuple(_files.temporary_name(name) for name in (*_WRITTEN, CHECKPOINT))

SPEC_LIMIT_BYTES = 16 << 20
RESULT_LIMIT_BYTES = 16 << 20
EVENT_LIMIT_BYTES = 64 << 10
EVENTS_CHUNK_BYTES = 1 << 20
LOG_TAIL_BYTES = 64 << 10
_SMALL_LIMIT_BYTES = 64 << 10


class JobFolder:
    """One job's folder. Cheap to make; touches nothing before a method is called.

    Reading follows no links, caps sizes and accepts canonical JSON objects only. Files get mode 600.
    """

    def __init__(self, path: str | Path, attempt: str = "") -> None:
        self.path = Path(os.path.abspath(path))
        self.outputs = self.path / attempt if attempt else self.path

    # --- for whoever submits ---

    def write_spec(self, spec: Mapping[str, Json]) -> None:
        """Write `spec.json`. Raises ValueError when it is too large or not JSON.

        Whole or not at all, but not synced: after a power cut whoever submits writes it again.
        """
        _files.write_atomic(self.path, SPEC, [_files.encoded(spec, SPEC_LIMIT_BYTES)], durable=False)

    def has_spec(self) -> bool:
        """Whether `spec.json` is there and a plain file."""
        try:
            descriptor = _files.open_regular(self.path, SPEC)
        except ValueError:
            return False
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def has_result(self) -> bool:
        """Whether there is a result, usable or not."""
        return os.path.lexists(self.outputs / RESULT)

    def read_result(self) -> Mapping[str, Json] | None:
        """Return `result.json`, None while there is none. Raises `TaskFailed` when it is not usable."""
        try:
            return _files.read_object(self.outputs, RESULT, RESULT_LIMIT_BYTES)
        except ValueError as error:
            raise TaskFailed(f"the task's result is not usable: {error}") from error

    def read_failure(self) -> Failure | None:
        """Return `failure.json`, None when it is missing or damaged; control characters are replaced."""
        try:
            found = _files.read_object(self.outputs, FAILURE, _SMALL_LIMIT_BYTES) or {}
            texts = {name: found[name] for name in Failure.__slots__}
        except (ValueError, KeyError):
            return None
        return Failure(**{name: printable(str(text)) for name, text in texts.items()})

    def read_events(self, offset: int = 0) -> tuple[list[Mapping[str, Json]], int]:
        """Return the complete events from byte `offset` on, and the offset to continue from.

        Reads at most 1 MiB, so call again while the offset moves. An incomplete last line is left for the
        next call; lines that are no event are skipped. A file that became shorter is read anew.
        """
        try:
            chunk, start = _files.read_part(self.path, EVENTS, max(0, offset), EVENTS_CHUNK_BYTES)
        except ValueError:
            return [], offset
        end = chunk.rfind(b"\n") + 1
        if end == 0:  # no whole line: wait for the rest, unless no line may be this long
            return [], start + (len(chunk) if len(chunk) == EVENTS_CHUNK_BYTES else 0)
        return list(_files.objects(chunk[:end].splitlines(keepends=True), EVENT_LIMIT_BYTES)), start + end

    def read_log(self) -> str:
        """Return the last 64 KiB of `out.log`; bytes that are not UTF-8 are replaced."""
        return self.read_tail(LOG)

    def read_tail(self, name: str) -> str:
        """Return the last 64 KiB of a text file of this folder, as `read_log` does."""
        try:
            data, _ = _files.read_part(self.path, name, -LOG_TAIL_BYTES, LOG_TAIL_BYTES)
        except ValueError:
            return ""
        return data.decode(errors="replace")

    def read_log_from(self, offset: int) -> tuple[bytes, int]:
        """Return at most 64 KiB of `out.log` from a byte on (below 0: from the end), and where to go on."""
        try:
            data, start = _files.read_part(self.path, LOG, offset, LOG_TAIL_BYTES)
        except ValueError:
            return b"", max(0, offset)
        return data, start + len(data)

    def open_update(self) -> BinaryIO | None:
        """Open `update.safetensors`, None when there is none. Raises `TaskFailed` for a link or device."""
        return self._open(UPDATE)

    def open_state(self) -> BinaryIO | None:
        """Open `state.parts`, as `open_update` does."""
        return self._open(STATE)

    def open_memory(self) -> BinaryIO | None:
        """Open `memory.safetensors`, as `open_update` does."""
        return self._open(MEMORY)

    def remove_state(self) -> None:
        """Remove `state.parts` once it is kept elsewhere; harmless when there is none."""
        _files.remove(self.outputs, (STATE,))

    def remove_update(self) -> None:
        """Remove `update.safetensors` once it is kept elsewhere; harmless when there is none."""
        _files.remove(self.outputs, (UPDATE,))

    # --- for the task ---

    def read_spec(self) -> Mapping[str, Json]:
        """Return `spec.json`. Raises `InvalidSpec` when it is missing or not usable."""
        try:
            spec = _files.read_object(self.path, SPEC, SPEC_LIMIT_BYTES)
        except ValueError as error:
            raise InvalidSpec(f"the job's spec is not usable: {error}") from error
        if spec is None:
            raise InvalidSpec(f"there is no {SPEC} in the job folder {str(self.path)!r}")
        return spec

    def emit(self, event: Mapping[str, Json]) -> None:
        """Append one event to `events.jsonl`; takes microseconds, not durable.

        Raises ValueError above 64 KiB, OSError where it does not fit on the disk whole.
        """
        _files.append(self.path, EVENTS, _files.encoded(event, EVENT_LIMIT_BYTES))

    def write_update(self, chunks: Iterable[Buffer]) -> None:
        """Write `update.safetensors` durably; call it before `finish`."""
        _files.write_atomic(self.outputs, UPDATE, chunks)

    def write_state(self, chunks: Iterable[Buffer]) -> None:
        """Write `state.parts`, files one after another whose sizes the result tells; durably."""
        _files.write_atomic(self.outputs, STATE, chunks)

    def write_memory(self, chunks: Iterable[Buffer]) -> None:
        """Write `memory.safetensors`, which stays in this folder, as `write_update` does."""
        _files.write_atomic(self.outputs, MEMORY, chunks)

    def finish(self, result: Mapping[str, Json]) -> None:
        """Write `result.json` durably, as the last thing the task does: its presence means completed."""
        _files.write_atomic(self.outputs, RESULT, [_files.encoded(result, RESULT_LIMIT_BYTES)])
        _files.remove(self.outputs, (CHECKPOINT,))

    def fail(self, error: BaseException) -> Failure:
        """Write `failure.json` durably and return what it says."""
        failure = describe(error)
        _files.write_atomic(self.outputs, FAILURE, [canonical_json(asdict(failure))])
        return failure

    def make_output(self) -> Path:
        """Return the directory for an application's own files, made if need be."""
        path = self.outputs / OUTPUT
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def write_checkpoint(self, chunks: Iterable[Buffer]) -> None:
        """Replace `checkpoint.safetensors` durably. It is gone once the task has finished."""
        _files.write_atomic(self.outputs, CHECKPOINT, chunks)

    def open_checkpoint(self) -> BinaryIO | None:
        """Open the newest checkpoint of this attempt or one before it; None when there is none."""
        for folder in self.earlier():
            descriptor = _files.open_regular(folder, CHECKPOINT)
            if descriptor is not None:
                return os.fdopen(descriptor, "rb")
        return None

    def earlier(self) -> list[Path]:
        """Return where this attempt and those before it put what comes out, newest first."""
        if self.outputs == self.path:
            return [self.path]
        before = _attempts.attempts_until(self.path, self.outputs.name)
        return [*(self.path / name for name in reversed(before)), self.path]

    # --- for launchers ---

    def begin(self, key: str, resources: Resources | None = None) -> None:
        """Note whose attempt this now is and what it asked for, and remove what earlier ones left.

        Their log stays, and, where it was the same key, what the task can go on from: checkpoint and output.
        """
        is_known = self._noted_key() == key
        _files.remove(self.path, (EVENTS, *_WRITTEN, *_TEMPORARIES, _notes.STATUS))
        if not is_known:
            _files.remove(self.path, (CHECKPOINT,))
            _attempts.remove_tree(self.path / OUTPUT)
            _attempts.remove_attempts(self.path)
        note = {"key": key} | ({"resources": _notes.plain(resources)} if resources else {})
        _files.write_atomic(self.path, KEY, [canonical_json(note)], durable=False)

    def read_note(self) -> Mapping[str, Json]:
        """Return what `begin` noted (`job.json`): the key, and the resources; empty where it is damaged."""
        try:
            return _files.read_object(self.path, KEY, _SMALL_LIMIT_BYTES) or {}
        except ValueError:
            return {}

    def begun_at(self) -> float | None:
        """Return when `begin` was called last (seconds since 1970), None where it was not."""
        try:
            return (self.path / KEY).lstat().st_mtime
        except OSError:
            return None

    def claim(self) -> None:
        """Make this attempt's sub-folder. Raises `FileExistsError` when the attempt was begun before."""
        self.outputs.mkdir(mode=0o700)

    def write_status(self, status: JobStatus) -> None:
        """Note the job's state and the time of its change (`status.json`), as far as that can be written."""
        _notes.write_status(self.path, status)

    def read_status(self) -> Mapping[str, Json] | None:
        """Return `status.json`, None when it is missing or damaged."""
        return _notes.read_status(self.path)

    def hold(self) -> int | None:
        """Tell others that this process works on the job, until the returned descriptor is closed."""
        return _notes.hold(self.path, KEY)

    def is_held(self) -> bool:
        """Whether a process of this machine works on the job, as `hold` told."""
        return _notes.is_held(self.path, KEY)

    def write_exit(self, report: Mapping[str, Json]) -> None:
        """Write `exit.json`: how the attempt's process ended, as its supervisor saw it."""
        _files.write_atomic(self.outputs, EXIT, [canonical_json(report)])

    def read_exit(self) -> Mapping[str, Json] | None:
        """Return `exit.json`, None when it is missing or damaged."""
        try:
            return _files.read_object(self.outputs, EXIT, _SMALL_LIMIT_BYTES)
        except ValueError:
            return None

    def attempts(self) -> list[str]:
        """Return the attempts that have begun, oldest first; none where the folder cannot be read."""
        return _attempts.attempts_in(self.path)

    def adopt(self, attempt: str) -> None:
        """Make what an attempt with a result wrote the outcome of the job, by renames.

        May be repeated after a crash; harmless without any result. Raises OSError.
        """
        files = [name for name in _WRITTEN if name not in (FAILURE, RESULT)]
        if JobFolder(self.path, attempt).has_result():
            _files.remove(self.path, (FAILURE,))  # of an attempt that does not count
        _attempts.take_over(self.path, attempt, OUTPUT, files, RESULT)

    def keep_failure(self, failure: Failure) -> None:
        """Make the failure of an attempt that of the job, where readers look for it."""
        _files.write_atomic(self.path, FAILURE, [canonical_json(asdict(failure))])

    def has_result_of(self, key: str) -> bool:
        """Whether a usable result of just this attempt is there, perhaps from an earlier process."""
        try:
            return self._noted_key() == key and self.read_result() is not None
        except TaskFailed:
            return False

    def open_log(self) -> int:
        """Return a descriptor that appends to `out.log`."""
        return _files.open_appending(self.path, LOG)

    def _noted_key(self) -> Json:
        return self.read_note().get("key")

    def _open(self, name: str) -> BinaryIO | None:
        try:
            descriptor = _files.open_regular(self.outputs, name)
        except ValueError as error:
            raise TaskFailed(f"the task's {name} is not usable: {error}") from error
        return None if descriptor is None else os.fdopen(descriptor, "rb")

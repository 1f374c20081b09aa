"""The job folder: the one protocol between whoever submits a job and whoever runs it.

`spec.json` goes in; `events.jsonl` and `out.log` grow; `update.safetensors` (and `state.parts`,
`memory.safetensors`) and then, last, `result.json` come out (or `failure.json`). It needs neither network nor
database, so it works on compute nodes without outside access. docs/reference/job-folder.md describes it for
readers of other languages.
Whatever is read may have been written by somebody hostile.
"""

import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.errors import FoedusError, InvalidSpec, TaskFailed
from foedus.core.protocols import Buffer
from foedus.launch import _files

SPEC, KEY, EVENTS, LOG = "spec.json", "job.json", "events.jsonl", "out.log"
UPDATE, RESULT, FAILURE = "update.safetensors", "result.json", "failure.json"
STATE, MEMORY = "state.parts", "memory.safetensors"
_OUTPUTS = (EVENTS, UPDATE, STATE, MEMORY, RESULT, FAILURE)
_TEMPORARIES = tuple(_files.temporary_name(name) for name in (UPDATE, STATE, MEMORY, RESULT, FAILURE))

SPEC_LIMIT_BYTES = 16 << 20
RESULT_LIMIT_BYTES = 16 << 20
EVENT_LIMIT_BYTES = 64 << 10
EVENTS_CHUNK_BYTES = 1 << 20
LOG_TAIL_BYTES = 64 << 10
_SMALL_LIMIT_BYTES = 64 << 10
_TEXT_LIMIT = 4096  # characters of a message or hint
_TRACEBACK_LINES = 30


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed: the error's class, its text, what to do about it, and where it happened."""

    kind: str
    message: str
    hint: str = ""
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class JobFolder:
    """One job's folder. Cheap to make; touches nothing before a method is called.

    Reading follows no links, caps sizes and accepts canonical JSON objects only. Files get mode 600.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.abspath(path))

    # --- for whoever submits ---

    def write_spec(self, spec: Mapping[str, Json]) -> None:
        """Write `spec.json`. Raises ValueError when it is too large or not JSON.

        Whole or not at all, but not synced: after a power cut whoever submits writes it again.
        """
        _files.write_atomic(self.path, SPEC, [_encoded(spec, SPEC_LIMIT_BYTES)], durable=False)

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

    def read_result(self) -> Mapping[str, Json] | None:
        """Return `result.json`, None while there is none. Raises `TaskFailed` when it is not usable."""
        try:
            return self._read_object(RESULT, RESULT_LIMIT_BYTES)
        except ValueError as error:
            raise TaskFailed(f"the task's result is not usable: {error}") from error

    def read_failure(self) -> Failure | None:
        """Return `failure.json`, None when it is missing or damaged; control characters are replaced."""
        try:
            found = self._read_object(FAILURE, _SMALL_LIMIT_BYTES) or {}
            texts = {name: found[name] for name in Failure.__slots__}
        except (ValueError, KeyError):
            return None
        return Failure(**{name: _printable(str(text)) for name, text in texts.items()})

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
        events = (_parsed(line) for line in chunk[:end].splitlines(keepends=True))
        return [event for event in events if event is not None], start + end

    def read_log(self) -> str:
        """Return the last 64 KiB of `out.log`; bytes that are not UTF-8 are replaced."""
        try:
            data, _ = _files.read_part(self.path, LOG, -LOG_TAIL_BYTES, LOG_TAIL_BYTES)
        except ValueError:
            return ""
        return data.decode(errors="replace")

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
        _files.remove(self.path, (STATE,))

    def remove_update(self) -> None:
        """Remove `update.safetensors` once it is kept elsewhere; harmless when there is none."""
        _files.remove(self.path, (UPDATE,))

    # --- for the task ---

    def read_spec(self) -> Mapping[str, Json]:
        """Return `spec.json`. Raises `InvalidSpec` when it is missing or not usable."""
        try:
            spec = self._read_object(SPEC, SPEC_LIMIT_BYTES)
        except ValueError as error:
            raise InvalidSpec(f"the job's spec is not usable: {error}") from error
        if spec is None:
            raise InvalidSpec(f"there is no {SPEC} in the job folder {str(self.path)!r}")
        return spec

    def emit(self, event: Mapping[str, Json]) -> None:
        """Append one event to `events.jsonl`; takes microseconds, not durable. ValueError above 64 KiB."""
        descriptor = _files.open_appending(self.path, EVENTS)
        try:
            os.write(descriptor, _encoded(event, EVENT_LIMIT_BYTES))
        finally:
            os.close(descriptor)

    def write_update(self, chunks: Iterable[Buffer]) -> None:
        """Write `update.safetensors` durably; call it before `finish`."""
        _files.write_atomic(self.path, UPDATE, chunks)

    def write_state(self, chunks: Iterable[Buffer]) -> None:
        """Write `state.parts`, files one after another whose sizes the result tells; durably."""
        _files.write_atomic(self.path, STATE, chunks)

    def write_memory(self, chunks: Iterable[Buffer]) -> None:
        """Write `memory.safetensors`, which stays in this folder, as `write_update` does."""
        _files.write_atomic(self.path, MEMORY, chunks)

    def finish(self, result: Mapping[str, Json]) -> None:
        """Write `result.json` durably, as the last thing the task does: its presence means completed."""
        _files.write_atomic(self.path, RESULT, [_encoded(result, RESULT_LIMIT_BYTES)])

    def fail(self, error: BaseException) -> Failure:
        """Write `failure.json` durably and return what it says."""
        failure = _describe(error)
        _files.write_atomic(self.path, FAILURE, [canonical_json(asdict(failure))])
        return failure

    # --- for launchers ---

    def begin(self, key: str) -> None:
        """Remove what earlier attempts left, except their log, and note whose attempt this now is."""
        _files.remove(self.path, (*_OUTPUTS, *_TEMPORARIES, KEY))
        descriptor = _files.open_appending(self.path, KEY)
        try:
            os.write(descriptor, canonical_json({"key": key}))
        finally:
            os.close(descriptor)

    def has_result_of(self, key: str) -> bool:
        """Whether a usable result of just this attempt is there, perhaps from an earlier process."""
        try:
            noted = self._read_object(KEY, _SMALL_LIMIT_BYTES)
            return noted == {"key": key} and self.read_result() is not None
        except (ValueError, TaskFailed):
            return False

    def open_log(self) -> int:
        """Return a descriptor that appends to `out.log`."""
        return _files.open_appending(self.path, LOG)

    def _open(self, name: str) -> BinaryIO | None:
        try:
            descriptor = _files.open_regular(self.path, name)
        except ValueError as error:
            raise TaskFailed(f"the task's {name} is not usable: {error}") from error
        return None if descriptor is None else os.fdopen(descriptor, "rb")

    def _read_object(self, name: str, limit_bytes: int) -> Mapping[str, Json] | None:
        data = _files.read_capped(self.path, name, limit_bytes)
        if data is None:
            return None
        value = parse_canonical_json(data, limit_bytes)
        if not isinstance(value, dict):
            raise ValueError(f"{name} does not hold a JSON object")
        return value


def _encoded(value: Mapping[str, Json], limit_bytes: int) -> bytes:
    data = canonical_json(value)
    if len(data) > limit_bytes:
        raise ValueError(f"{len(data)} bytes of JSON exceed the limit of {limit_bytes}")
    return data


def _parsed(line: bytes) -> Mapping[str, Json] | None:
    try:
        event = parse_canonical_json(line, EVENT_LIMIT_BYTES)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _describe(error: BaseException) -> Failure:
    kind = type(error).__name__
    if isinstance(error, FoedusError):
        message, hint = error.message, error.hint
    else:
        message, hint = f"{kind}: {_text_of(error)}", ""
    lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]
    return Failure(
        _printable(kind),
        _printable(message)[:_TEXT_LIMIT],
        _printable(hint)[:_TEXT_LIMIT],
        _printable("\n".join(lines))[-2 * _TEXT_LIMIT :],
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # whatever a foreign __str__ raises must not hide the failure itself
        return f"(its text cannot be had: {type(second).__name__})"


def _printable(text: str) -> str:
    """Replace what JSON cannot carry (lone surrogates) and what a terminal obeys (control characters)."""
    carried = text.encode(errors="replace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in carried)

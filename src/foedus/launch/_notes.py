"""What launchers note in a job folder for whoever looks: `status.json`, and that a process works on it."""

import fcntl
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.records import JobStatus, Resources
from foedus.launch import _files

STATUS = "status.json"
_LIMIT_BYTES = 64 << 10
_TRIES, _PAUSE_S = 20, 0.005


def write_status(folder: Path, status: JobStatus) -> None:
    """Note the state, and when it became so, as far as the folder can be written to. Not durable."""
    before = read_status(folder) or {}
    times = before.get("times")
    times = dict(times) if isinstance(times, Mapping) else {}
    if before.get("state") != status.state or status.state not in times:
        times[status.state.value] = round(time.time(), 3)
    values: dict[str, Json] = {name: getattr(status, name) for name in status.__slots__}
    with suppress(OSError, ValueError):
        _files.write_atomic(folder, STATUS, [canonical_json(values | {"times": times})], durable=False)


def read_status(folder: Path) -> Mapping[str, Json] | None:
    """Return what was noted last, None when there is nothing or it is damaged."""
    try:
        data = _files.read_capped(folder, STATUS, _LIMIT_BYTES)
        value = parse_canonical_json(data, _LIMIT_BYTES) if data is not None else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def hold(folder: Path, name: str) -> int | None:
    """Hold a file until the returned descriptor is closed, or this process ends. None where that fails."""
    try:
        descriptor = _files.open_regular(folder, name)
    except (OSError, ValueError):
        return None
    if descriptor is not None and not _locked(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def _locked(descriptor: int) -> bool:
    """Lock a file, also where somebody looks at just this moment whether it is locked (`is_held`)."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError:  # some file systems have no locks
            return False
        else:
            return True
    return False


def is_held(folder: Path, name: str) -> bool:
    """Whether a process holds the file, as far as can be told."""
    try:
        descriptor = _files.open_regular(folder, name)
    except (OSError, ValueError):
        return False
    if descriptor is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def plain(resources: Resources) -> dict[str, Json]:
    """Return resources as JSON; an endless time limit is null."""
    values: dict[str, Json] = asdict(resources)
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }

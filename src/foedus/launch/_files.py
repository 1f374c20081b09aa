"""Files of a folder that somebody else may write to: nothing is followed, nothing unbounded is read.

All functions take the folder's path and a plain file name. The folder is opened first and the file relative
to it, so exchanging the folder for a link in between gains nothing.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.protocols import Buffer

_PRIVATE = 0o600  # job folders hold what was learned from private data


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(folder: Path, name: str) -> int | None:
    """Return a descriptor for reading, None when there is no file. Raises ValueError for a link or device."""
    try:
        with _opened(folder) as parent:
            # O_NONBLOCK: opening a FIFO that nobody writes to would otherwise hang
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{name} cannot be opened: {error.strerror}") from error
    return _only_regular(descriptor, name)


def open_appending(folder: Path, name: str) -> int:
    """Return a descriptor that appends, creating the file. Raises OSError, ValueError for a device."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with _opened(folder) as parent:
        return _only_regular(os.open(name, flags, _PRIVATE, dir_fd=parent), name)


def append(folder: Path, name: str, data: bytes) -> None:
    """Append in one write: all of it or nothing. Raises OSError, ValueError for a device."""
    descriptor = open_appending(folder, name)
    try:
        written = os.write(descriptor, data)
        if written == len(data):
            return
        end = os.lseek(descriptor, 0, os.SEEK_CUR)  # the disk is full, or a quota is used up
        if os.fstat(descriptor).st_size == end:  # nobody has written after us
            os.ftruncate(descriptor, end - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / name))
    finally:
        os.close(descriptor)


def _only_regular(descriptor: int, name: str) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{name} is not a regular file")
    return descriptor


def read_capped(folder: Path, name: str, limit_bytes: int) -> bytes | None:
    """Return the whole file, None when there is none. Raises ValueError if larger or not a plain file."""
    descriptor = open_regular(folder, name)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"{name} exceeds the limit of {limit_bytes} bytes")
    return data


def read_object(folder: Path, name: str, limit_bytes: int) -> Mapping[str, Json] | None:
    """Return a file of canonical JSON that holds an object, None when there is none. Raises ValueError."""
    data = read_capped(folder, name, limit_bytes)
    if data is None:
        return None
    value = parse_canonical_json(data, limit_bytes)
    if not isinstance(value, dict):
        raise ValueError(f"{name} does not hold a JSON object")
    return value


def objects(lines: Iterable[bytes], limit_bytes: int) -> Iterator[Mapping[str, Json]]:
    """Yield the objects that lines of canonical JSON hold; other lines are skipped."""
    for line in lines:
        try:
            value = parse_canonical_json(line, limit_bytes)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def encoded(value: Mapping[str, Json], limit_bytes: int) -> bytes:
    """Return an object as canonical JSON. Raises ValueError where that is too large or not JSON."""
    data = canonical_json(value)
    if len(data) > limit_bytes:
        raise ValueError(f"{len(data)} bytes of JSON exceed the limit of {limit_bytes}")
    return data


def read_part(folder: Path, name: str, offset: int, limit_bytes: int) -> tuple[bytes, int]:
    """Return at most `limit_bytes` from `offset` (negative: from the end) and where they really start.

    A file that became shorter than `offset` is read from its beginning. A missing one reads as empty.
    """
    descriptor = open_regular(folder, name)
    if descriptor is None:
        return b"", 0
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        start = max(0, size + offset) if offset < 0 else offset if offset <= size else 0
        file.seek(start)
        return file.read(limit_bytes), start


def write_atomic(folder: Path, name: str, chunks: Iterable[Buffer], durable: bool = True) -> None:
    """Replace the file: it is either the old one or the new one; if `durable`, also after a power cut."""
    temporary = temporary_name(name)
    with _opened(folder) as parent:
        _unlink(temporary, parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, _PRIVATE, dir_fd=parent), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            _unlink(temporary, parent)  # on a full disk it would take room from what matters
            raise
        if durable:
            os.fsync(parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def temporary_name(name: str) -> str:
    """Return where `write_atomic` collects the bytes; fixed, so that whoever cleans up finds it."""
    return f".{name}.tmp"


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove the named files where they exist; links themselves, never what they point to."""
    try:
        with _opened(folder) as parent:
            for name in names:
                _unlink(name, parent)
    except FileNotFoundError:  # the folder itself is gone
        return


def _unlink(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return

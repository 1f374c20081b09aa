"""Writes files for the user: whole or not at all, and never over another one by accident."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from foedus.core.errors import FoedusError

_users_umask: list[int] = []


def be_private() -> None:
    """Have all that this process and its children write readable by their user alone.

    What `write_whole` writes for the user keeps the rights that he is used to.
    """
    umask = os.umask(0o077)
    if not _users_umask:
        _users_umask.append(umask)


def require_free(path: Path, force: bool) -> None:
    """Refuse a path where something is already, unless forced, and one whose folder is not there."""
    if path.is_dir():
        raise FoedusError(f"{path} is a folder", "Name a file to write.")
    if not path.parent.is_dir():
        raise FoedusError(f"there is no folder {path.parent}", "Create it first.")
    if path.exists() and not force:
        raise FoedusError(f"{path} exists already; nothing was written", "Name another file, or add --force.")


def write_whole(path: Path, chunks: Iterable[bytes], force: bool = False) -> int:
    """Write a file so that it appears complete or not at all; return its size in bytes."""
    require_free(path, force)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise FoedusError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.chmod(temporary, 0o666 & ~_umask())
        require_free(path, force)
        os.replace(temporary, path)
    except OSError as error:
        raise FoedusError(f"cannot write {path}: {error.strerror}", "Nothing was left behind.") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return size


def _umask() -> int:
    """Return the user's umask; asking means setting it for a moment."""
    if _users_umask:
        return _users_umask[0]
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

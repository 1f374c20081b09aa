"""File system primitives of the directory store: folders without following links, locks, temp files."""

import fcntl
import hashlib
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

TEMP_SUFFIX: Final = ".part"
_STALE_S: Final = 3600.0
_BASE_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # non-blocking: a FIFO must not hang us


@contextmanager
def folder(root: Path, *names: str, create: bool = False) -> Iterator[int]:
    """Open `root/names…` as a directory descriptor; no name below `root` may be a symbolic link.

    With `create`, missing folders are made durably. Raises OSError.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            if create:
                _make_folder(descriptor, name)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _BASE_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(name: str, folder_descriptor: int, flags: int = os.O_RDONLY) -> int:
    """Open a regular file. Raises FileNotFoundError when there is none, or a link, FIFO or folder."""
    if not is_regular(name, folder_descriptor):
        raise FileNotFoundError(name)
    return os.open(name, flags | _BASE_FLAGS, 0o644, dir_fd=folder_descriptor)


def is_regular(name: str, folder_descriptor: int) -> bool:
    """Whether a regular file of this name is in the folder."""
    try:
        status = os.stat(name, dir_fd=folder_descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode)


@contextmanager
def locked(name: str, folder_descriptor: int) -> Iterator[None]:
    """Hold an exclusive lock that ends with the process; threads and processes exclude each other."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | _BASE_FLAGS, 0o644, dir_fd=folder_descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough if a fork has the descriptor too
        os.close(descriptor)


@contextmanager
def temp_file(folder_descriptor: int) -> Iterator[tuple[str, int]]:
    """Create a file for writing and yield its name and descriptor; removed at the end unless renamed.

    It stays locked while it is written, which is how `clean_temp_files` of another process knows.
    """
    name, descriptor = _create_locked(folder_descriptor)
    while not os.fstat(descriptor).st_nlink:  # a cleaner was faster than our lock
        os.close(descriptor)
        name, descriptor = _create_locked(folder_descriptor)
    try:
        yield name, descriptor
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder_descriptor)
        os.close(descriptor)


def clean_temp_files(folder_descriptor: int) -> None:
    """Remove temp files whose writer is gone: nobody locks them, and they are from this host or an hour old.

    The age counts because not every cluster file system shares locks between hosts.
    """
    for name in os.listdir(folder_descriptor):
        with suppress(OSError):  # somebody else's business; it does not keep the store from working
            if name.endswith(TEMP_SUFFIX):
                _remove_abandoned(name, folder_descriptor)


def _remove_abandoned(name: str, folder_descriptor: int) -> None:
    descriptor = open_regular(name, folder_descriptor, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        age_s = time.time() - os.fstat(descriptor).st_mtime
        if name.startswith(_host_tag()) or age_s > _STALE_S:
            os.unlink(name, dir_fd=folder_descriptor)
    finally:
        os.close(descriptor)


def _create_locked(folder_descriptor: int) -> tuple[str, int]:
    name = f"{_host_tag()}-{secrets.token_hex(8)}{TEMP_SUFFIX}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _BASE_FLAGS
    descriptor = os.open(name, flags, 0o644, dir_fd=folder_descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return name, descriptor


def _make_folder(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    os.fsync(parent)  # also when it existed: its maker may have died before this


def _host_tag() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]

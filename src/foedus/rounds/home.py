"""The home folder of one installation: where everything lies, and who may write to it."""

import errno
import fcntl
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import FoedusError, HomeInUse, InvalidSpec, StorageFull

_RUN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}-[1-9][0-9]{0,5}")


class Home:
    """Paths below the home folder. Creates nothing until asked."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.store = self.root / "store"
        self.chain = self.root / "chain.sqlite"
        self.keys = self.root / "keys"
        self.data = self.root / "data"
        self.runs = self.root / "runs"

    @contextmanager
    def locked(self) -> Iterator["Home"]:
        """Hold the home folder for this process. Raises `HomeInUse` when another process holds it."""
        try:
            make_folder(self.root)
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FoedusError(f"cannot use the home folder {self.root}: {error.strerror}") from error
        try:
            self._take(handle)
            yield self
        finally:
            os.close(handle)  # gives the lock back; so does the end of the process, however it ends

    def _take(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            hint = "Wait until it has ended, or use another folder with --home or FOEDUS_HOME."
            raise HomeInUse(f"process {holder} is working in {self.root}", hint) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def run_names(self) -> list[str]:
        """Return the names of the runs here, oldest first."""
        if not self.runs.is_dir():
            return []
        found = [
            path
            for path in self.runs.iterdir()
            if _RUN_NAME.fullmatch(path.name) and (path / "spec.json").is_file()
        ]
        return [path.name for path in sorted(found, key=lambda path: (path / "spec.json").stat().st_mtime_ns)]

    def run_folder(self, name: str) -> Path:
        """Return the folder of an existing run. Raises `InvalidSpec` naming the runs there are."""
        if _RUN_NAME.fullmatch(name) and (self.runs / name / "spec.json").is_file():
            return self.runs / name
        known = ", ".join(self.run_names()) or "none yet"
        raise InvalidSpec(
            f"there is no run {name!r} in {self.root}",
            f"Runs here: {known}. Name another home folder with --home.",
        )

    def new_run_folder(self, prefix: str, taken: Collection[str] = ()) -> Path:
        """Return the path for a new run, `<prefix>-<number>`, not created; never a name of `taken`."""
        names = [name for name in (*self.run_names(), *taken) if _RUN_NAME.fullmatch(name)]
        numbers = [int(n.rpartition("-")[2]) for n in names if n.rpartition("-")[0] == prefix]
        return self.runs / f"{prefix}-{max(numbers, default=0) + 1}"


@contextmanager
def full_disk_told(where: Path) -> Iterator[None]:
    """Turn what the system and SQLite say of a full disk into `StorageFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _storage_full(where) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise _storage_full(where) from error


def _storage_full(where: Path) -> StorageFull:
    hint = "Make room and resume the run: nothing is lost."
    return StorageFull(f"no space is left for {where}", hint)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for our user alone."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)


def write_json(path: Path, value: Json) -> None:
    """Write a JSON file so that it is there whole or not at all, also after a power cut."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(canonical_json(value))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)  # where the folder may have been made just now
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> Json:
    """Read a JSON file of ours. Raises `FoedusError` naming the file when it is damaged or missing."""
    try:
        value: Json = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FoedusError(
            f"cannot read {path}: {error}", "The file is written by Foedus; restore it."
        ) from error
    return value

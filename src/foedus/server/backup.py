"""Backups of a home folder, made while the platform runs, and their restoration.

The order makes a copy consistent: the database first, then the chain, then keys, folders and the store. What
is copied later only ever knows more: the index catches up with the chain, and objects are stored before the
chain names them and never change.
"""

import datetime
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from foedus.core.canonical import Json
from foedus.core.errors import FoedusError
from foedus.rounds.home import full_disk_told, make_folder, read_json, write_json
from foedus.server.db.engine import make_engine, require_known, revision_of
from foedus.server.settings import database_url, server_settings
from foedus.site.settings import Settings
from foedus.version import VERSION

CONTENTS: Final = "backup.json"
_FORM: Final = 1
_FIRST: Final = ("platform.sqlite", "chain.sqlite", "keys")
_LAST: Final = "store"
_LEFT_OUT: Final = ("lock", "foedus.log")  # of this process or this machine alone
_CHUNK: Final = 1 << 20
_SQLITE: Final = ".sqlite"


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup or restoration. `hint` says what it does not hold."""

    files: int
    size_bytes: int
    hint: str = ""


def back_up(site: Settings, target: Path) -> Backup:
    """Copy a home folder into a new or empty folder. Raises `FoedusError` where that cannot be.

    The file `backup.json`, with the sum of every file, is written last: without it a backup is not complete.
    """
    home, target = site.home, target.absolute()
    if not home.is_dir():
        raise FoedusError(f"there is no home folder {home}", "Name it with --home.")
    if target.is_relative_to(home) or home.is_relative_to(target):
        raise FoedusError("the backup must lie outside of the home folder", "Name another folder.")
    url = database_url(site, server_settings(site))
    _require_empty(target)
    sums: dict[str, Json] = {}
    size = 0
    with full_disk_told(target):
        make_folder(target)
        target.chmod(0o700)
        for name in _files(home):
            found = _copy(home / name, target / "home" / name)
            if found is not None:
                sums[str(name)], count = found
                size += count
        is_sqlite = url.startswith("sqlite")
        contents: dict[str, Json] = {
            "form": _FORM,
            "foedus": VERSION,
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "database": "sqlite" if is_sqlite else "postgresql",
            "files": sums,
        }
        write_json(target / CONTENTS, contents)
    return Backup(len(sums), size, "" if url == _default_url(home) else _hint(is_sqlite))


def restore(source: Path, home: Path) -> Backup:
    """Put a backup into a new or empty home folder, after every file was compared with its sum.

    Raises `FoedusError` for a backup that is damaged, not complete or from a newer version; then nothing is
    there.
    """
    contents = _contents(source)
    _require_empty(home)
    beside = home.with_name(f".{home.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    size = 0
    try:
        with full_disk_told(home):
            make_folder(beside)
            for name, wanted in contents.items():
                found = _copy(source / "home" / _checked(name), beside / name, is_live=False)
                if found is None or found[0] != wanted:
                    raise FoedusError(f"the backup is damaged: {name}", "Take another one.")
                size += found[1]
        _require_sound(beside)
        if home.is_dir():
            home.rmdir()
        beside.rename(home)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    is_whole = "platform.sqlite" in contents
    return Backup(len(contents), size, "" if is_whole else "The database is not in it: restore its own copy.")


def _files(home: Path) -> Iterator[Path]:
    """Return all files to copy, relative to the home folder, in the order that keeps copies consistent."""
    rest = sorted(path.name for path in home.iterdir() if path.name not in (*_FIRST, _LAST, *_LEFT_OUT))
    for top in (*_FIRST, *rest, _LAST):
        if (home / top).is_dir() and not (home / top).is_symlink():
            for folder, folders, files in os.walk(home / top):
                folders.sort()
                yield from (
                    (Path(folder) / name).relative_to(home) for name in sorted(files) if _is_kept(name)
                )
        elif _is_kept(top) and (home / top).exists():
            yield Path(top)


def _is_kept(name: str) -> bool:
    """Whether a file is none that somebody is just writing, holding or keeping beside a database."""
    return not (name.startswith(".") or name.endswith((".lock", "-wal", "-shm", "-journal")))


def _copy(source: Path, target: Path, is_live: bool = True) -> tuple[str, int] | None:
    """Copy a file for us alone. Returns its sum and size; None for links and what went away meanwhile."""
    make_folder(target.parent)
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if source.is_symlink():
            return None
        raise FoedusError(f"cannot read {source}: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        if not source.is_file():
            return None
        mode = os.fstat(file.fileno()).st_mode & 0o700
        if is_live and source.suffix == _SQLITE:
            _copy_sqlite(source, target)
        else:
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
                shutil.copyfileobj(file, copy, _CHUNK)
                copy.flush()
                os.fsync(copy.fileno())
    found = _sum_of(target)
    target.chmod(mode or 0o600)
    return found


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that others may be writing: the state after some transaction, never between."""
    address = f"file:{quote(str(source.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db, closing(sqlite3.connect(target)) as copy:
        db.backup(copy)
    target.chmod(0o600)


def _sum_of(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return found, path.stat().st_size


def _contents(source: Path) -> Mapping[str, str]:
    if not (source / CONTENTS).is_file():
        raise FoedusError(f"{source} holds no complete backup", f"It has no file {CONTENTS}.")
    found = read_json(source / CONTENTS)
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(files, dict) or found.get("form") != _FORM:
        raise FoedusError(
            f"this version cannot read the backup in {source}", "Restore it with the version that made it."
        )
    return {name: str(wanted) for name, wanted in files.items()}


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise FoedusError(f"the backup names a file outside of the home folder: {name}", "Take another one.")
    return name


def _require_empty(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise FoedusError(f"{folder} is not empty; nothing was written", "Name a new or an empty folder.")


def _require_sound(home: Path) -> None:
    """Raise `FoedusError` unless each database is whole and of a version that we know."""
    for path in sorted(home.rglob(f"*{_SQLITE}")):
        with closing(sqlite3.connect(path)) as db:
            try:
                answer = db.execute("PRAGMA integrity_check").fetchone()[0]
            except sqlite3.DatabaseError as error:
                answer = str(error)
        if answer != "ok":
            raise FoedusError(
                f"the backup's {path.relative_to(home)} is damaged: {answer}", "Take another one."
            )
    if (home / "platform.sqlite").exists():
        engine = make_engine(_default_url(home))
        try:
            require_known(revision_of(engine))
        finally:
            engine.dispose()


def _default_url(home: Path) -> str:
    return f"sqlite:///{home / 'platform.sqlite'}"


def _hint(is_sqlite: bool) -> str:
    if is_sqlite:
        return (
            "The database lies elsewhere and is not in the backup: copy it by `sqlite3 FILE '.backup COPY'`."
        )
    return (
        "PostgreSQL is not in the backup: before each one, run `pg_dump --format=custom --file FILE` on it."
    )

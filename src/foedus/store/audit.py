"""Check a whole directory store: every byte of every object, and nothing there that does not belong."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from foedus.core.errors import FoedusError, ObjectMissing
from foedus.store._files import TEMP_SUFFIX, folder
from foedus.store.cid import InvalidCid, check_cid
from foedus.store.directory import LOCK, OBJECTS, PINS, SUFFIX, TEMP, DirectoryStore, object_name


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a store that should not be as it is; `path` is relative to its root."""

    path: str
    problem: str


def verify_all(store: DirectoryStore) -> list[Finding]:
    """Check all objects, pins and folders; an empty list means that everything is as it was written.

    Other processes may go on using the store: what they are writing or deleting meanwhile is no finding.
    """
    findings = [Finding(name, "does not belong here") for name in _strangers(store)]
    findings += _check_objects(store)
    findings += _check_pins(store)
    return findings


def _strangers(store: DirectoryStore) -> Iterator[str]:
    with folder(store.root) as root:
        yield from sorted(set(os.listdir(root)) - {OBJECTS, PINS, TEMP, LOCK})
    with folder(store.root, TEMP) as temp:
        for name in sorted(os.listdir(temp)):
            if not name.endswith(TEMP_SUFFIX):
                yield f"{TEMP}/{name}"


def _check_objects(store: DirectoryStore) -> Iterator[Finding]:
    with folder(store.root, OBJECTS) as objects:
        shards = sorted(os.listdir(objects))
    for shard in shards:
        try:
            with folder(store.root, OBJECTS, shard) as inside:
                names = sorted(os.listdir(inside))
        except OSError:
            yield Finding(f"{OBJECTS}/{shard}", "is not a folder")
            continue
        for name in names:
            yield from _check_object(store, shard, name)


def _check_object(store: DirectoryStore, shard: str, name: str) -> Iterator[Finding]:
    path = f"{OBJECTS}/{shard}/{name}"
    cid = object_name(name, shard)
    if cid is None:
        yield Finding(path, "does not belong here")
        return
    try:
        store.verify(cid)
    except ObjectMissing:
        if os.path.lexists(store.root / path):  # else it was collected meanwhile
            yield Finding(path, "is not a regular file")
    except (FoedusError, OSError) as error:
        yield Finding(path, str(error))


def _check_pins(store: DirectoryStore) -> Iterator[Finding]:
    with folder(store.root, PINS) as pins:
        for name in sorted(os.listdir(pins)):
            try:
                cid = check_cid(name)
            except InvalidCid:
                yield Finding(f"{PINS}/{name}", "does not belong here")
                continue
            with suppress(FileNotFoundError):  # unpinned meanwhile
                if not _is_empty_file(name, pins):
                    yield Finding(f"{PINS}/{name}", "is not an empty file")
                elif not store.has(cid) and _is_empty_file(name, pins):
                    yield Finding(f"{PINS}/{name}", f"{OBJECTS}/{cid[-2:]}/{cid}{SUFFIX} is missing")


def _is_empty_file(name: str, folder_descriptor: int) -> bool:
    status = os.stat(name, dir_fd=folder_descriptor, follow_symlinks=False)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0

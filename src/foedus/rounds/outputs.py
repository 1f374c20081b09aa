"""From job folders into the store: what a task wrote must be what its result says."""

from collections.abc import Iterator
from typing import BinaryIO

from foedus.core.ids import Cid
from foedus.core.protocols import ModelStore
from foedus.launch import JobFolder
from foedus.rounds.documents import MergeResult
from foedus.store import put_json


def store_output(store: ModelStore, folder: JobFolder, cid: Cid) -> bool:
    """Move a task's update, or merged weights, into the store. Tells whether the store has what was promised.

    Raises `StorageFull`, and `TaskFailed` when the file is a link or device.
    """
    file = folder.open_update()
    if file is not None:
        with file:
            if store.put(iter(lambda: file.read(1 << 20), b"")) != cid:
                return False
        folder.remove_update()
    return store.has(cid)


def store_state(store: ModelStore, folder: JobFolder, result: MergeResult) -> bool:
    """Store the changed parts of an algorithm's state, then the document that names all of them."""
    file = folder.open_state()
    if file is not None:
        with file:
            for part in result.parts:
                if store.put(_chunks(file, part.size)) != part.cid:
                    return False
        folder.remove_state()
    if not all(store.has(Cid(part.cid)) for part in result.parts):
        return False
    if result.state is None:
        return result.manifest.get("state") is None
    return put_json(store, result.state.to_json()) == result.manifest.get("state")


def _chunks(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Yield the next bytes of a file, `size_bytes` in all, or fewer where it ends before."""
    while size_bytes > 0 and (chunk := file.read(min(size_bytes, 1 << 20))):
        size_bytes -= len(chunk)
        yield chunk

"""Objects and trees small enough to try everything."""

import os
from collections.abc import Iterable
from pathlib import Path

from foedus.core.ids import Cid
from foedus.store.car import check_car, open_car, write_car
from foedus.store.directory import DirectoryStore
from foedus.store.unixfs import Profile

TINY = Profile(chunk_bytes=16, max_links=3)
MIB = 1 << 20


def write_tiny(path: Path, content: bytes | Iterable[bytes]) -> Cid:
    buffers = [content] if isinstance(content, bytes) else content
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return write_car(descriptor, buffers, TINY)
    finally:
        os.close(descriptor)


def read_tiny(path: Path, cid: Cid) -> bytes:
    with open_car(os.open(path, os.O_RDONLY), cid, TINY) as stream:
        return stream.read()


def check_tiny(path: Path, cid: Cid) -> None:
    check_car(os.open(path, os.O_RDONLY), cid, TINY)


def object_path(store: DirectoryStore, cid: Cid) -> Path:
    return store.root / "objects" / cid[-2:] / f"{cid}.car"


def flip(path: Path, position: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)

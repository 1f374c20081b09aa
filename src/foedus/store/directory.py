"""A store in a folder: one CAR file per object, safe to share between processes.

    <root>/objects/<last two characters of the CID>/<CID>.car
    <root>/pins/<CID>           empty; garbage collection keeps such objects
    <root>/tmp/<random>.part    being written
    <root>/lock                 held while an object is published, pinned or collected

An object appears by rename after its file was synced, so a crash at any moment leaves all of it or nothing.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from foedus.core.errors import ObjectMissing, StorageFull
from foedus.core.ids import Cid
from foedus.core.protocols import Buffer
from foedus.store._files import clean_temp_files, folder, is_regular, locked, open_regular, temp_file
from foedus.store.car import check_car, open_car, write_car
from foedus.store.cid import InvalidCid, check_cid
from foedus.store.unixfs import as_buffers

OBJECTS: Final = "objects"
PINS: Final = "pins"
TEMP: Final = "tmp"
LOCK: Final = "lock"
SUFFIX: Final = ".car"
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)  # a link instead of a folder gives the latter


class DirectoryStore:
    """`ModelStore` in a folder. Needs a POSIX file system with flock; readers need no write access."""

    def __init__(self, root: Path | str) -> None:
        """Open the store, creating its folders, and remove what crashed writers left in `tmp`."""
        self.root = Path(root)
        self._shards: set[str] = set()  # folders of objects that this process made or found, and synced
        self._create_folders()
        with folder(self.root, TEMP) as temp:
            clean_temp_files(temp)

    def put(self, data: Buffer | Iterable[Buffer], *, pin: bool = True) -> Cid:
        """Store the concatenated buffers durably and return their CID; replaces a damaged copy.

        Memory is independent of the size. Raises `StorageFull` with nothing left behind.
        """
        written = 0
        try:
            with folder(self.root, TEMP) as temp, temp_file(temp) as (name, descriptor):
                try:
                    cid = write_car(descriptor, as_buffers(data))
                    os.fsync(descriptor)
                finally:
                    written = os.fstat(descriptor).st_size
                self._publish(temp, name, cid, pin)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._full(written) from error
        return cid

    def get(self, cid: Cid) -> bytes:
        """Return the bytes, checked. Raises `ObjectMissing` or `ObjectDamaged`."""
        with self.open(cid) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            return stream.read(size)  # a known size is read without a second copy

    def open(self, cid: Cid) -> BinaryIO:
        """Open for seekable reading; each 1 MiB block is hashed before its bytes are returned.

        Raises `ObjectMissing` or, now or while reading, `ObjectDamaged`.
        """
        return open_car(self._open_file(cid), cid)

    def has(self, cid: Cid) -> bool:
        """Whether the object is here (not whether its bytes are intact)."""
        try:
            with self._shard_of(cid) as shard:
                return is_regular(cid + SUFFIX, shard)
        except (InvalidCid, *_ABSENT):
            return False

    def size(self, cid: Cid) -> int:
        """Return the size of the object's content in bytes. Raises `ObjectMissing` or `ObjectDamaged`."""
        with self.open(cid) as stream:
            return stream.seek(0, os.SEEK_END)

    def pin(self, cid: Cid) -> None:
        """Keep the object through garbage collection. Raises `ObjectMissing`."""
        with self._locked():
            if not self.has(cid):
                raise _missing(cid)
            self._write_pin(cid)

    def unpin(self, cid: Cid) -> None:
        """Let garbage collection take the object. Unpinning twice, or what never was here, is harmless."""
        with suppress(FileNotFoundError, InvalidCid), folder(self.root, PINS) as pins:
            os.unlink(check_cid(cid), dir_fd=pins)

    def pinned(self, cid: Cid) -> bool:
        """Whether the object is kept through garbage collection."""
        with folder(self.root, PINS) as pins:
            return is_regular(check_cid(cid), pins)

    def gc(self) -> list[Cid]:
        """Delete all objects that are not pinned and return their CIDs. Open readers may read on."""
        with self._locked():
            unpinned = [cid for cid in self.ls() if not self.pinned(cid)]
            for cid in unpinned:
                self._delete(cid)
        return unpinned

    def ls(self) -> list[Cid]:
        """Return the CIDs of all objects, sorted."""
        found: list[Cid] = []
        with folder(self.root, OBJECTS) as objects:
            shards = os.listdir(objects)
        for shard in shards:
            with suppress(*_ABSENT), folder(self.root, OBJECTS, shard) as inside:
                names = (name for name in os.listdir(inside) if is_regular(name, inside))
                found.extend(cid for name in names if (cid := object_name(name, shard)))
        return sorted(found)

    def verify(self, cid: Cid) -> None:
        """Check every byte of the object's file. Raises `ObjectMissing` or `ObjectDamaged`."""
        check_car(self._open_file(cid), cid)

    def _create_folders(self) -> None:
        if not self.root.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder(self.root.parent) as parent:
                os.fsync(parent)
        for name in (OBJECTS, PINS, TEMP):
            if not (self.root / name).is_dir():
                with folder(self.root, name, create=True):
                    pass

    def _publish(self, temp: int, name: str, cid: Cid, pin: bool) -> None:
        shard_name, file_name = cid[-2:], cid + SUFFIX
        is_new = shard_name not in self._shards
        with folder(self.root, OBJECTS, shard_name, create=is_new) as shard, self._locked():
            self._shards.add(shard_name)
            existed = is_regular(file_name, shard)
            os.rename(name, file_name, src_dir_fd=temp, dst_dir_fd=shard)
            try:
                os.fsync(shard)
                if pin:
                    self._write_pin(cid)
            except OSError:
                if not existed:
                    self.unpin(cid)
                    self._delete(cid)
                raise

    def _write_pin(self, cid: Cid) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with folder(self.root, PINS) as pins:
            os.close(os.open(cid, flags, 0o644, dir_fd=pins))
            os.fsync(pins)

    def _delete(self, cid: Cid) -> None:
        with self._shard_of(cid) as shard:
            os.unlink(cid + SUFFIX, dir_fd=shard)

    def _open_file(self, cid: Cid) -> int:
        try:
            with self._shard_of(cid) as shard:
                return open_regular(cid + SUFFIX, shard)
        except _ABSENT as error:
            raise _missing(cid) from error

    def _shard_of(self, cid: Cid) -> AbstractContextManager[int]:
        """Open the folder of an object. The text is checked before it becomes a path."""
        return folder(self.root, OBJECTS, check_cid(cid)[-2:])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with folder(self.root) as root, locked(LOCK, root):
            yield

    def _full(self, written_bytes: int) -> StorageFull:
        space = os.statvfs(self.root)
        free = space.f_bavail * space.f_frsize
        return StorageFull(
            f"the store in {self.root} is full: {written_bytes:,} bytes of this object were written, "
            f"{free:,} bytes are free",
            "Make room, for instance by collecting unpinned objects, and try again.",
        )


def object_name(file_name: str, shard: str) -> Cid | None:
    """Return the CID whose object belongs into this file of this folder of `objects`, or None."""
    try:
        cid = check_cid(file_name.removesuffix(SUFFIX))
    except InvalidCid:
        return None
    return cid if file_name == cid + SUFFIX and shard == cid[-2:] else None


def _missing(cid: Cid) -> ObjectMissing:
    return ObjectMissing(f"the store does not hold {cid}")

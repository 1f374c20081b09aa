"""CARv1 files, one per object: written in one pass while hashing, read with every byte checked.

Layout: see `foedus.store.layout`. The header names the root; its length is fixed, so it is filled in last.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from foedus.core.errors import ObjectDamaged
from foedus.core.ids import Cid
from foedus.core.protocols import Buffer
from foedus.store.cid import CID_BYTES, RAW, cid_text, codec_of, digest_of, parse_cid
from foedus.store.layout import HEADER_BYTES, Shape, section_bytes, shape_of_car
from foedus.store.unixfs import UNIXFS_V1_2025, Link, Profile, build, child_links, chunks, varint

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 16  # serves small reads; larger ones go straight into the caller's memory


def header(root: bytes) -> bytes:
    """Return the CARv1 header: its length, then `{"roots": [root], "version": 1}` in dag-cbor."""
    return b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + root + b"\x67version\x01"


def write_car(descriptor: int, buffers: Iterable[Buffer], profile: Profile = UNIXFS_V1_2025) -> Cid:
    """Write the object at the start of an empty file and return its CID. Does not fsync."""
    _write(descriptor, bytes(HEADER_BYTES))
    for block in build(chunks(buffers, profile.chunk_bytes), profile):
        root = block.link.cid
        _write(descriptor, _section_start(root, len(block.data)))
        _write(descriptor, block.data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write(descriptor, header(root))
    return cid_text(root)


def open_car(descriptor: int, cid: Cid, profile: Profile = UNIXFS_V1_2025) -> BinaryIO:
    """Open a CAR file for seekable reading of the object; takes over the descriptor.

    Raises `ObjectDamaged`, here or while reading, as soon as something is not what the CID says.
    """
    return io.BufferedReader(_CarReader(descriptor, cid, profile), _BUFFER_BYTES)


def check_car(descriptor: int, cid: Cid, profile: Profile = UNIXFS_V1_2025) -> None:
    """Check every byte of a CAR file; takes over the descriptor. Raises `ObjectDamaged`.

    Header, section starts, nodes and leaves are each compared or hashed while reading the content, and the
    length of the file leaves room for nothing else.
    """
    with _CarReader(descriptor, cid, profile) as reader:
        scratch = memoryview(bytearray(profile.chunk_bytes))
        reader.read_chunk(0, scratch)  # an empty object has one leaf too
        while reader.readinto(scratch):
            pass


def _section_start(cid: bytes, block_bytes: int) -> bytes:
    return varint(CID_BYTES + block_bytes) + cid


def _write(descriptor: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _CarReader(io.RawIOBase):
    """Random access to the content; each leaf, and each node on the way to it, is checked before use."""

    def __init__(self, descriptor: int, cid: Cid, profile: Profile) -> None:
        self._descriptor = descriptor
        self._cid = cid
        self._chunk_bytes = profile.chunk_bytes
        self._position = 0
        self._cached = -1  # start of the chunk in `_cache`
        self._cache = memoryview(b"")
        self._nodes: dict[int, tuple[int, list[Link]]] = {}  # height -> (offset in the file, links)
        try:
            self._root = parse_cid(cid)
            self._shape = self._check_file(profile)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._shape.file_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def readall(self) -> bytes:
        out = bytearray(max(self._shape.file_bytes - self._position, 0))
        self.readinto(out)
        return bytes(out)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        out = memoryview(buffer).cast("B")[: max(self._shape.file_bytes - self._position, 0)]
        done = 0
        while done < len(out):
            start = self._position - self._position % self._chunk_bytes
            length = min(self._chunk_bytes, self._shape.file_bytes - start)
            if start == self._position and start != self._cached and length <= len(out) - done:
                self.read_chunk(start, out[done : done + length])
                count = length
            else:
                count = self._copy_cached(start, length, out[done:])
            done, self._position = done + count, self._position + count
        if done > self._chunk_bytes:  # many models may be open at once; after a long read the chunk is no use
            self._cache, self._cached = memoryview(b""), -1
        return done

    def read_chunk(self, start: int, out: memoryview) -> None:
        """Read the leaf whose content begins at `start` into `out`, which may be longer, and check it."""
        offset, shape, cid = HEADER_BYTES, self._shape, self._root
        while shape.height:
            index, child = shape.find(start)
            skipped_content, skipped_file = shape.before(index)
            cid = self._links(offset, shape, cid)[index].cid
            start, offset, shape = start - skipped_content, offset + skipped_file, child
        self._read_section(offset, cid, out[: shape.block_bytes])

    def _check_file(self, profile: Profile) -> Shape:
        """Check length and header, and return the shape that follows from them."""
        try:
            shape = shape_of_car(os.fstat(self._descriptor).st_size, profile)
        except ValueError as error:
            self._fail(str(error))
        if codec_of(self._root) != shape.codec:
            self._fail("its file is too long or too short")
        if os.pread(self._descriptor, HEADER_BYTES, 0) != header(self._root):
            self._fail("the header of its file is wrong")
        return shape

    def _copy_cached(self, start: int, length: int, out: memoryview) -> int:
        if start != self._cached:
            if len(self._cache) != length:
                self._cache = memoryview(bytearray(length))
            self._cached = -1
            self.read_chunk(start, self._cache)
            self._cached = start
        piece = self._cache[self._position - start :][: len(out)]
        out[: len(piece)] = piece
        return len(piece)

    def _links(self, offset: int, shape: Shape, cid: bytes) -> list[Link]:
        """Return the links of the node whose subtree begins at `offset`; the last per height is kept."""
        kept = self._nodes.get(shape.height)
        if kept and kept[0] == offset:
            return kept[1]
        node = bytearray(shape.block_bytes)
        self._read_section(offset + shape.car_bytes - section_bytes(len(node)), cid, memoryview(node))
        try:
            links = child_links(
                bytes(node), ((c.codec, c.tree_bytes, c.file_bytes) for c in shape.children())
            )
        except ValueError as error:
            self._fail(str(error))
        self._nodes[shape.height] = offset, links
        return links

    def _read_section(self, offset: int, cid: bytes, out: memoryview) -> None:
        expected = _section_start(cid, len(out))
        start = bytearray(len(expected))
        count = os.preadv(self._descriptor, [start, out], offset)
        if count != len(start) + len(out) or start != expected:
            self._fail(f"the block at byte {offset} of its file is not the expected one")
        if hashlib.sha256(out).digest() != digest_of(cid):
            kind = "content" if codec_of(cid) == RAW else "node"
            self._fail(f"a {kind} block at byte {offset} of its file does not hash to its CID")

    def _fail(self, problem: str) -> NoReturn:
        raise ObjectDamaged(
            f"{self._cid} is damaged: {problem}", "Delete the file and fetch the object again."
        )

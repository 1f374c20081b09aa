"""UnixFS: how a file becomes a tree of blocks, and so gets its CID.

The dag-pb and UnixFS protobufs are written by hand because no maintained Python library does it. Nothing is
ever parsed freely: `child_links` rebuilds a node from what it must be and compares, so a block has one
accepted form.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from foedus.core.ids import Cid
from foedus.core.protocols import Buffer
from foedus.store.cid import DAG_PB, RAW, cid_bytes, cid_text


@dataclass(frozen=True, slots=True)
class Profile:
    """The parameters that decide which CID a file gets."""

    chunk_bytes: int
    max_links: int
    cid_version: int = 1
    raw_leaves: bool = True


UNIXFS_V1_2025: Final = Profile(chunk_bytes=1 << 20, max_links=1024)
PROFILE_NAME: Final = "unixfs-v1-2025"


@dataclass(frozen=True, slots=True)
class Link:
    """What a parent node says about a child."""

    cid: bytes
    tree_bytes: int  # of all blocks below and including the child
    file_bytes: int  # of the content it stands for


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a tree; `data` is valid until the next block is asked for."""

    link: Link
    data: Buffer


def varint(number: int) -> bytes:
    """Encode as unsigned LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_node(links: Iterable[Link]) -> bytes:
    """Encode the dag-pb node of a file whose content is the concatenation of the children."""
    out, sizes, total = bytearray(), bytearray(), 0
    for link in links:
        body = b"\x0a" + varint(len(link.cid)) + link.cid + b"\x12\x00\x18" + varint(link.tree_bytes)
        out += b"\x12" + varint(len(body)) + body
        sizes += b"\x20" + varint(link.file_bytes)
        total += link.file_bytes
    meta = b"\x08\x02\x18" + varint(total) + sizes
    return bytes(out + b"\x0a" + varint(len(meta)) + meta)


def child_links(node: bytes, children: Iterable[tuple[int, int, int]]) -> list[Link]:
    """Return the links of a node whose children must have these (codec, tree_bytes, file_bytes).

    Raises ValueError when the node is anything else than `encode_node` of such links.
    """
    links, position = [], 0
    for codec, tree_bytes, file_bytes in children:
        digest = node[position + 8 : position + 40]  # after two tags with lengths and four bytes of CID
        links.append(Link(cid_bytes(codec, digest), tree_bytes, file_bytes))
        position += link_bytes(tree_bytes)
    if encode_node(links) != node:
        raise ValueError(f"node is not of profile {PROFILE_NAME}")
    return links


def link_bytes(tree_bytes: int) -> int:
    """Return how long one encoded CIDv1 link to a child with this `tree_bytes` is."""
    return 43 + len(varint(tree_bytes))


def chunks(buffers: Iterable[Buffer], chunk_bytes: int) -> Iterator[memoryview]:
    """Cut the concatenated buffers into chunks, the last one shorter; at least one, which may be empty.

    Whole chunks inside a buffer are not copied. A chunk is valid until the next one is asked for, and a
    buffer may be overwritten once the next one has been asked for.
    """
    pending, used, count = memoryview(bytearray(chunk_bytes)), 0, 0
    for buffer in buffers:
        view = memoryview(buffer)
        rest = view.cast("B") if view.nbytes else memoryview(b"")
        while rest:
            if not used and len(rest) >= chunk_bytes:
                piece, rest = rest[:chunk_bytes], rest[chunk_bytes:]
                count += 1
                yield piece
                continue
            taken = min(chunk_bytes - used, len(rest))
            pending[used : used + taken] = rest[:taken]
            used, rest = used + taken, rest[taken:]
            if used == chunk_bytes:
                count, used = count + 1, 0
                yield pending
    if used or not count:
        yield pending[:used]


def build(parts: Iterable[Buffer], profile: Profile = UNIXFS_V1_2025) -> Iterator[Block]:
    """Yield the blocks of the balanced tree over the chunks, each node after its children, the root last.

    Memory is bounded by one node per level of the tree.
    """
    levels: list[list[Link]] = [[]]
    for part in parts:
        leaf = _leaf(part, profile)
        yield leaf
        levels[0].append(leaf.link)
        height = 0
        while len(levels[height]) == profile.max_links:
            yield _close(levels, height, profile)
            height += 1
    height = 0
    while height < len(levels) - 1 or len(levels[height]) > 1:
        if levels[height]:
            yield _close(levels, height, profile)
        height += 1


def cid_of(data: Buffer | Iterable[Buffer]) -> Cid:
    """Return the CID that a store gives to the concatenated buffers, without storing anything."""
    for block in build(chunks(as_buffers(data), UNIXFS_V1_2025.chunk_bytes)):
        root = block.link.cid
    return cid_text(root)


def as_buffers(data: Buffer | Iterable[Buffer]) -> Iterable[Buffer]:
    """Return one buffer as a sequence of one, and several as they are."""
    return (data,) if isinstance(data, bytes | bytearray | memoryview) else data


def _leaf(chunk: Buffer, profile: Profile) -> Block:
    size = len(chunk)
    if profile.raw_leaves:
        return Block(Link(_cid(RAW, chunk, profile), size, size), chunk)
    content = b"\x12" + varint(size) + chunk if size else b""
    meta = b"\x08\x02" + content + b"\x18" + varint(size)
    data = b"\x0a" + varint(len(meta)) + meta
    return Block(Link(_cid(DAG_PB, data, profile), len(data), size), data)


def _close(levels: list[list[Link]], height: int, profile: Profile) -> Block:
    """Make the pending links of a level a node and hand it to the level above."""
    links, levels[height] = levels[height], []
    data = encode_node(links)
    tree_bytes = len(data) + sum(link.tree_bytes for link in links)
    link = Link(_cid(DAG_PB, data, profile), tree_bytes, sum(link.file_bytes for link in links))
    if height + 1 == len(levels):
        levels.append([])
    levels[height + 1].append(link)
    return Block(link, data)


def _cid(codec: int, data: Buffer, profile: Profile) -> bytes:
    digest = hashlib.sha256(data).digest()
    return cid_bytes(codec, digest) if profile.cid_version == 1 else b"\x12\x20" + digest

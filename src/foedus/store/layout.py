"""Where everything lies in a CAR file, computed from the size of the content alone.

A CAR file of ours is: header, then the blocks in the order of `unixfs.build` (each node after its children,
root last). All full subtrees of one height have the same length, so offsets are arithmetic: a reader needs
no index and believes no length that a file claims.
"""

from __future__ import annotations  # a Shape holds Shapes

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from foedus.store.cid import CID_BYTES, DAG_PB, RAW
from foedus.store.unixfs import UNIXFS_V1_2025, Profile, link_bytes, varint

HEADER_BYTES: Final = 59
MAX_OBJECT_BYTES: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a subtree: `full` children like `child`, then perhaps one smaller `rest`. A leaf has none."""

    height: int
    file_bytes: int  # content
    block_bytes: int  # of this node's or leaf's own block
    tree_bytes: int  # of all blocks in the subtree
    car_bytes: int  # of the subtree's sections in a CAR file
    full: int = 0
    child: Shape | None = None
    rest: Shape | None = None

    @property
    def codec(self) -> int:
        """The codec of the subtree's root block."""
        return DAG_PB if self.height else RAW

    def find(self, position: int) -> tuple[int, Shape]:
        """Return the index and shape of the child that holds this position of the content."""
        index = position // self.child.file_bytes if self.child else 0
        child = self.child if index < self.full else self.rest
        assert child, f"position {position} lies outside {self.file_bytes} bytes"
        return index, child

    def before(self, index: int) -> tuple[int, int]:
        """Return the bytes of content, and of a CAR file, that lie before this child."""
        if not self.child:
            return 0, 0
        return index * self.child.file_bytes, index * self.child.car_bytes

    def children(self) -> Iterator[Shape]:
        """Yield the shapes of the children in order."""
        if self.child:
            for _ in range(self.full):
                yield self.child
        if self.rest:
            yield self.rest


def section_bytes(block_bytes: int) -> int:
    """Return how long a block is in a CAR file, with its length and CID."""
    return len(varint(CID_BYTES + block_bytes)) + CID_BYTES + block_bytes


def shape_of(file_bytes: int, profile: Profile = UNIXFS_V1_2025) -> Shape:
    """Return the shape of the tree over a content of this size."""
    height, capacity = 0, profile.chunk_bytes
    while capacity < file_bytes:
        height, capacity = height + 1, capacity * profile.max_links
    return _subtree(height, file_bytes, profile)


@lru_cache(maxsize=256)  # the objects of one model have few lengths
def shape_of_car(car_bytes: int, profile: Profile = UNIXFS_V1_2025) -> Shape:
    """Return the shape of the content whose CAR file has this length. Raises ValueError if there is none."""
    wanted = car_bytes - HEADER_BYTES
    sizes = range(min(max(wanted, 0), MAX_OBJECT_BYTES) + 1)
    size = bisect_left(sizes, wanted, key=lambda size: shape_of(size, profile).car_bytes)
    if size >= len(sizes) or shape_of(size, profile).car_bytes != wanted:
        raise ValueError(f"no object has a file of {car_bytes} bytes")
    return shape_of(size, profile)


def _subtree(height: int, file_bytes: int, profile: Profile) -> Shape:
    if height == 0:
        return Shape(0, file_bytes, file_bytes, file_bytes, section_bytes(file_bytes))
    capacity = profile.chunk_bytes * profile.max_links ** (height - 1)
    full, remainder = divmod(file_bytes, capacity)
    child = _subtree(height - 1, capacity, profile) if full else None
    rest = _subtree(height - 1, remainder, profile) if remainder else None
    block = _node_bytes(file_bytes, full, child, rest)
    tree, car = block, section_bytes(block)
    for shape, count in ((child, full), (rest, 1)):
        if shape:
            tree, car = tree + count * shape.tree_bytes, car + count * shape.car_bytes
    return Shape(height, file_bytes, block, tree, car, full, child, rest)


def _node_bytes(file_bytes: int, full: int, child: Shape | None, rest: Shape | None) -> int:
    """Return the length of `unixfs.encode_node` for such children."""
    links, meta = 0, 3 + len(varint(file_bytes))
    for shape, count in ((child, full), (rest, 1)):
        if shape:
            links += count * link_bytes(shape.tree_bytes)
            meta += count * (1 + len(varint(shape.file_bytes)))
    return links + 1 + len(varint(meta)) + meta

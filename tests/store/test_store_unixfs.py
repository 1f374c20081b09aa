import hashlib
import json
import tracemalloc
from collections import deque
from collections.abc import Iterator
from typing import Any

import aleph_cid
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given
from hypothesis import strategies as st

from foedus.store.cid import cid_text
from foedus.store.unixfs import UNIXFS_V1_2025, Link, Profile, build, child_links, chunks, cid_of, encode_node
from shared import case_file

MIB = 1 << 20
CASES = json.loads(case_file("unixfs.json").read_text())["cases"]
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def stream(spec: dict[str, Any] | None) -> Iterator[bytes]:
    """The input of a case: see the file's `doc`."""
    if spec is None:
        yield b"hello world"
        return
    key = hashlib.sha256(spec["seed"].encode()).digest()
    generator = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
    zeros = bytes(MIB)
    for start in range(0, spec["size"], MIB):
        yield generator.update(zeros[: spec["size"] - start])


def text_of(cid: bytes, version: int) -> str:
    if version == 1:
        return cid_text(cid)
    number, out = int.from_bytes(cid, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = BASE58[digit] + out
    return out


def case_params() -> Iterator[Any]:
    for case in CASES:
        is_slow = case["stream"] is not None and case["stream"]["size"] > 16 * MIB
        yield pytest.param(case, id=case["id"], marks=[pytest.mark.slow] if is_slow else [])


def root_of(parts: Iterator[bytes], profile: Profile) -> bytes:
    return deque(build(chunks(parts, profile.chunk_bytes), profile), maxlen=1)[0].link.cid


@pytest.mark.parametrize("case", list(case_params()))
def test_published_vector(case: dict[str, Any]) -> None:
    root = root_of(stream(case["stream"]), Profile(**case["profile"]))
    assert text_of(root, case["profile"]["cid_version"]) == case["expected"]


@pytest.mark.parametrize("size", [0, 1, 262144, 262145, 3 * MIB + 7])
def test_agrees_with_another_implementation(size: int) -> None:
    data = hashlib.shake_128(b"foedus").digest(size)
    profile = Profile(chunk_bytes=262144, max_links=174, cid_version=0, raw_leaves=False)
    assert text_of(root_of(iter([data]), profile), 0) == aleph_cid.compute_cid(data)


def test_profile_is_the_published_one() -> None:
    assert Profile(1 << 20, 1024, 1, True) == UNIXFS_V1_2025


@given(st.lists(st.binary(max_size=40)), st.integers(1, 16))
def test_chunks_concatenate_to_the_input(buffers: list[bytes], chunk_bytes: int) -> None:
    parts = [bytes(part) for part in chunks(buffers, chunk_bytes)]
    assert b"".join(parts) == b"".join(buffers)
    assert all(len(part) == chunk_bytes for part in parts[:-1])
    assert len(parts) == max(1, -(-sum(map(len, buffers)) // chunk_bytes))


def test_whole_chunks_are_not_copied() -> None:
    buffer = bytearray(10)
    first, second = (part.obj for part in chunks([buffer], 5))
    assert first is buffer
    assert second is buffer


def test_a_buffer_may_be_reused_by_its_producer() -> None:
    def produce() -> Iterator[bytearray]:
        buffer = bytearray(700_000)
        for value in range(3):
            buffer[:] = bytes([value]) * len(buffer)
            yield buffer

    assert cid_of(produce()) == cid_of(b"".join(bytes([value]) * 700_000 for value in range(3)))


def test_memory_does_not_grow_with_the_size() -> None:
    profile = Profile(chunk_bytes=256, max_links=8)

    def peak(count: int) -> int:
        tracemalloc.start()
        root_of((bytes(256) for _ in range(count)), profile)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(4096) < peak(64) + 20_000


def test_a_foreign_node_is_refused() -> None:
    link = Link(b"\x01\x55\x12\x20" + bytes(32), 5, 5)
    node = encode_node([link])
    assert child_links(node, [(0x55, 5, 5)]) == [link]
    for other in (node + b"\x00", node[:-1], b"", encode_node([link, link])):
        with pytest.raises(ValueError, match="profile"):
            child_links(other, [(0x55, 5, 5)])

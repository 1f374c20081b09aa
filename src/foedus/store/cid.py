"""Content ids: 36 bytes inside files, one spelling as text.

Only two kinds exist here: `bafkrei…` names one raw leaf, `bafybei…` the root of a tree of leaves (dag-pb).
Both are CIDv1 with sha2-256, written in lower-case base32. Any other spelling of the same bytes is refused,
so that a text names an object and an object has one text: the chain compares texts.
"""

import base64
import re
from typing import Final

from foedus.core.errors import ObjectMissing
from foedus.core.ids import Cid

RAW: Final = 0x55  # multicodec: the block is file content
DAG_PB: Final = 0x70  # multicodec: the block is a protobuf node with links

CID_BYTES: Final = 36
_TEXT: Final = re.compile(r"baf(?:krei|ybei)[a-z2-7]{52}")


class InvalidCid(ObjectMissing):
    """This text is no CID in the accepted spelling, so no store can ever hold such an object."""


def cid_bytes(codec: int, digest: bytes) -> bytes:
    """Return the binary CIDv1 of a block with this sha2-256 digest."""
    return bytes((1, codec, 0x12, 0x20)) + digest


def cid_text(cid: bytes) -> Cid:
    """Spell a binary CIDv1 of 36 bytes as text."""
    return Cid("b" + base64.b32encode(cid).decode().rstrip("=").lower())


def parse_cid(text: str) -> bytes:
    """Return the binary CID of a text in the accepted spelling. Raises `InvalidCid` for anything else."""
    if not _TEXT.fullmatch(text):
        raise InvalidCid(f"{text[:80]!r} is not a CID", "Expected bafkrei… or bafybei… with 59 characters.")
    cid = base64.b32decode(text[1:].upper() + "======")
    if cid_text(cid) != text:  # the last character has two bits to spare
        raise InvalidCid(
            f"{text!r} is not the one accepted spelling", f"Its bytes are spelled {cid_text(cid)}."
        )
    return cid


def check_cid(text: str) -> Cid:
    """Return the text as a CID if it is one in the accepted spelling. Raises `InvalidCid` otherwise."""
    parse_cid(text)
    return Cid(text)


def codec_of(cid: bytes) -> int:
    """Return the codec of a binary CIDv1: `RAW` or `DAG_PB`."""
    return cid[1]


def digest_of(cid: bytes) -> bytes:
    """Return the sha2-256 digest in a binary CID."""
    return cid[-32:]

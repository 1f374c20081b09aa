"""Names of things. Plain strings at run time; distinct types for the checker."""

from typing import NewType

Cid = NewType("Cid", str)
"""Content id in its one accepted spelling: CIDv1, base32, `bafkrei…` (one leaf) or `bafybei…` (a tree)."""

ClientId = NewType("ClientId", str)
"""A client's name inside a project: 1–32 characters of `a-z 0-9 - _`, starting with a letter or digit."""

NativeId = NewType("NativeId", str)
"""What the scheduler calls a batch job."""

TxHash = NewType("TxHash", str)
"""Transaction hash: `0x` and 64 lower-case hex digits."""

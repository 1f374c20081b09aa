"""Canonical JSON and hashes: the one way Foedus turns a record into bytes that are then addressed by CID."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_json(value: Json) -> bytes:
    """Encode as UTF-8 JSON with sorted keys, no white space and a closing newline.

    Raises ValueError for NaN and infinities, which JSON cannot say.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def parse_canonical_json(data: bytes, limit_bytes: int = 1 << 20) -> Json:
    """Parse bytes written by `canonical_json`. Raises ValueError when they are not in that very form."""
    if len(data) > limit_bytes:
        raise ValueError(f"{len(data)} bytes of JSON exceed the limit of {limit_bytes}")
    try:
        value: Json = json.loads(data)
        again = canonical_json(value)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if again != data:
        raise ValueError("JSON is not in canonical form")
    return value


def derive_seed(*parts: str | int) -> int:
    """Derive a 63-bit seed from names, e.g. `derive_seed(run, round, client)` (ALGORITHMS, common rules)."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def to_ppb(score: float) -> int:
    """Round a score in [0, 1] to parts per billion. Raises ValueError for NaN or anything outside."""
    if not (math.isfinite(score) and 0.0 <= score <= 1.0):
        raise ValueError(f"a score must lie in [0, 1], got {score}")
    return round(score * 1_000_000_000)

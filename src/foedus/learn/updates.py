"""Which updates may be merged, and why the others may not (ALGORITHMS §0 and A4). Pure functions."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from foedus.core.errors import InvalidData, UpdateRefused
from foedus.core.ids import Cid, ClientId
from foedus.learn.weights import Array, Parts, Specs, TensorSource, Weights

_BLOCK = 1 << 18  # elements checked at once
_LARGEST_EXTRA = 1 << 48


@dataclass(frozen=True, slots=True)
class Claim:
    """One registered update as the filter sees it. `fault` is the code of a refusal found in its file."""

    client: ClientId
    base: Cid
    cid: Cid
    num_examples: int
    gate_passed: bool = True
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An update that has weight 0, and the short stable code of the reason."""

    client: ClientId
    cid: Cid
    code: str


def filter_updates(
    claims: Sequence[Claim], current_base: Cid, seen: Collection[Cid] = ()
) -> tuple[list[Claim], list[Refusal]]:
    """Sort claims, given in chain order, into those to merge (by client id) and those refused (in order).

    Codes: `samples` (no examples), `stale_base`, `gate_failed`, the claim's own `fault`, `duplicate_cid`
    (content of an earlier version in `seen`, or of another client's earlier claim), `superseded` (by a later
    valid one of the same client). Raises `InvalidData` for a negative number of examples.
    """
    owners: dict[Cid, ClientId] = {}
    accepted: dict[ClientId, Claim] = {}
    refused: list[Refusal] = []
    for claim in claims:
        is_copy = claim.cid in seen or owners.setdefault(claim.cid, claim.client) != claim.client
        code = _refusal_code(claim, current_base) or ("duplicate_cid" if is_copy else "")
        if code:
            refused.append(Refusal(claim.client, claim.cid, code))
            continue
        if claim.client in accepted:
            refused.append(Refusal(claim.client, accepted[claim.client].cid, "superseded"))
        accepted[claim.client] = claim
    return [accepted[client] for client in sorted(accepted)], refused


def check_update(source: TensorSource, expected: Specs, server: Weights, parts: Parts) -> None:
    """Check one update against what the algorithm expects, reading it once.

    `expected` comes from `Strategy.update_specs`. Raises `UpdateRefused` with code `keys`, `dtype`, `shape`,
    `nonfinite`, `frozen` or `extra`: a number beside the weights (its name starts with `@`) that is not in
    1..2**48, or an array of such numbers with one outside 0..2**48.
    """
    check_schema(source, expected)
    for name, (dtype, _) in expected.items():
        if dtype.startswith("F") and name not in parts.frozen and not is_finite(source.read(name)):
            raise UpdateRefused("nonfinite", f"tensor {name!r} has values that are not finite")
        if name.startswith("@") and not _is_plausible(source.read(name)):
            raise UpdateRefused("extra", f"{name!r} claims nothing, less than nothing or more than 2**48")
    for name in parts.frozen:
        if name in expected and source.read(name).tobytes() != server[name].tobytes():
            raise UpdateRefused("frozen", f"tensor {name!r} is frozen but was changed")


def check_schema(source: TensorSource, expected: Specs) -> None:
    """Compare names, types and shapes without reading. Raises `UpdateRefused`; nothing is broadcast."""
    different = sorted(set(source.names()) ^ expected.keys())
    if different:
        raise UpdateRefused("keys", f"tensors are missing or unknown: {', '.join(different[:5])}")
    for name, (wanted_dtype, wanted_shape) in expected.items():
        dtype, shape = source.spec(name)
        if dtype != wanted_dtype:
            raise UpdateRefused("dtype", f"tensor {name!r} is {dtype}, not {wanted_dtype}")
        if tuple(shape) != wanted_shape:
            raise UpdateRefused("shape", f"tensor {name!r} has shape {shape}, not {wanted_shape}")


def _is_plausible(values: Array) -> bool:
    least = 0 if values.ndim else 1  # steps, a batch: of none of them, nothing could have been learnt
    return not values.size or bool(values.min() >= least and values.max() <= _LARGEST_EXTRA)


def is_finite(values: Array) -> bool:
    """Tell whether a tensor has neither NaN nor infinities; block by block, so it needs no second tensor."""
    flat = values.reshape(-1)
    starts = range(0, flat.size, _BLOCK)
    return all(bool(np.isfinite(flat[start : start + _BLOCK]).all()) for start in starts)


def distance_moved(weights: Weights, server: Weights, names: Sequence[str]) -> float:
    """Return the Euclidean length of what local training moved; 0 means that nothing was learnt.

    Tensors that have no counterpart of equal shape (a model that grew) count from zero.
    """
    squares = []
    for name in names:
        moved = weights[name].astype(np.float64)
        if name in server and server[name].shape == moved.shape:
            moved -= server[name].astype(np.float64)
        squares.append(float(np.sum(moved * moved)))
    return math.sqrt(math.fsum(squares))


def _refusal_code(claim: Claim, current_base: Cid) -> str:
    if claim.num_examples < 0:
        raise InvalidData(f"client {claim.client} claims {claim.num_examples} examples")
    if claim.num_examples == 0:
        return "samples"
    if claim.base != current_base:
        return "stale_base"
    return claim.fault if claim.gate_passed else "gate_failed"

"""The weighted mean of updates, the same to the last bit on every machine (ALGORITHMS §0 and A4).

    θ[i] = Σ_k w_k θ_k[i] / Σ_k w_k        w_k = min(n_k, cap · median n) · (1 + κ r_k)

Weights are exact integers until they meet a tensor. Values are multiplied and added in float64, in two
separate element-wise operations, client by client in the order given, then divided once and cast once.
Nothing of that depends on the number of threads, on the instruction set or on the size of the blocks. Only
one tensor of one client is in memory at a time.
"""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from foedus.core.errors import InvalidData
from foedus.core.records import WAD
from foedus.learn.updates import check_schema
from foedus.learn.weights import Array, Parts, TensorSource, Weights, specs_of

BufferMode: TypeAlias = Literal["average", "pooled", "local"]

BLOCK = 1 << 18  # elements: small enough for the processor's cache, large enough to make calls cheap

_Pairs: TypeAlias = Sequence[tuple[TensorSource, float]]


def client_weights(
    num_examples: Sequence[int], rewards_wad: Sequence[int], kappa: float = 1.0, cap_ratio: float = 3.0
) -> list[int]:
    """Return integer weights proportional to w_k, without common divisor; 0 for clients without examples.

    `rewards_wad` are r_k in 1e-18. The median is that of the clients with examples. Arithmetic is exact.
    Raises `InvalidData` for negative or non-integer numbers, rewards outside [0, 1] and negative `kappa`.
    """
    _require_valid_claims(num_examples, rewards_wad, kappa, cap_ratio)
    cap = Fraction(str(cap_ratio)) * _median([n for n in num_examples if n > 0])
    exact = [
        min(Fraction(n), cap) * (WAD + Fraction(str(kappa)) * reward)
        for n, reward in zip(num_examples, rewards_wad, strict=True)
    ]
    scale = math.lcm(*(weight.denominator for weight in exact))
    return _without_common_divisor([int(weight * scale) for weight in exact])


def client_bonuses(rewards_wad: Sequence[int], kappa: float = 1.0) -> list[int]:
    """Return integers proportional to 1 + κ r_k, without common divisor (ALGORITHMS §8)."""
    return client_weights([1] * len(rewards_wad), rewards_wad, kappa)


def weighted_mean(
    sources: Sequence[TensorSource],
    weights: Sequence[int],
    server: Weights,
    parts: Parts,
    buffer_mode: BufferMode = "average",
    block: int = BLOCK,
) -> Weights:
    """Merge updates into new weights that share no storage with their inputs.

    Trainable tensors: weighted mean. The rest: as `merged_rest` says. Sources of weight 0 are never read; the
    others passed `check_update`. Their order decides the last bits.
    Raises `InvalidData` for negative weights or none, `UpdateRefused` when names, shapes or types differ.
    """
    pairs = _contributing(sources, weights)
    expected = {name: spec for name, spec in specs_of(server).items() if name not in parts.local}
    for source, _ in pairs:
        check_schema(source, expected)
    total = math.fsum(weight for _, weight in pairs)
    merged = {name: _mean(name, pairs, total, server[name], block) for name in parts.trainable}
    return {**merged, **merged_rest(sources, weights, server, parts, buffer_mode)}


def merged_rest(
    sources: Sequence[TensorSource],
    weights: Sequence[int],
    server: Weights,
    parts: Parts,
    buffer_mode: BufferMode = "average",
) -> Weights:
    """Merge everything but the trainable tensors, by the rule that holds for every algorithm (ALGORITHMS §0).

    Float buffers: weighted mean; `pooled`: running variances become that of the pooled examples,
    Σp(v + m²) - (Σp m)². Integer buffers: maximum. Frozen and local tensors, and masks: the server's.
    """
    pairs = _contributing(sources, weights)
    total = math.fsum(weight for _, weight in pairs)
    merged: dict[str, Array] = {}
    for name in sorted(server.keys() - set(parts.trainable)):
        if buffer_mode == "pooled" and name in parts.float_buffers and _mean_of(name) in server:
            merged[name] = _pooled_variance(name, pairs, total, server)
        elif name in parts.float_buffers:
            merged[name] = _mean(name, pairs, total, server[name], BLOCK)
        elif name in parts.other_buffers and server[name].dtype != np.bool_:
            merged[name] = np.maximum.reduce([source.read(name) for source, _ in pairs])
        else:
            merged[name] = server[name].copy()
    return merged


def _mean(name: str, pairs: _Pairs, total: float, like: Array, block: int) -> Array:
    """Merge block by block: each stays in the cache, and no client's tensor is ever in memory whole."""
    merged = np.empty(like.size, like.dtype)
    sums = np.empty(min(block, like.size))
    product = np.empty_like(sums)
    for start in range(0, like.size, block):
        part = merged[start : start + block]
        target, scratch = sums[: part.size], product[: part.size]
        target.fill(-0.0)  # the zero to which adding anything, even -0.0, gives that very thing
        for source, weight in pairs:
            np.copyto(scratch, source.read_part(name, start, start + part.size))
            np.multiply(scratch, weight, out=scratch)
            np.add(target, scratch, out=target)
        np.divide(target, total, out=target)
        part[:] = target
    return merged.reshape(like.shape)


def _pooled_variance(name: str, pairs: _Pairs, total: float, server: Weights) -> Array:
    first = second = np.zeros(server[name].shape)
    for source, weight in pairs:
        mean = source.read(_mean_of(name)).astype(np.float64)
        first = first + weight * mean
        second = second + weight * (source.read(name).astype(np.float64) + mean * mean)
    variance = second / total - (first / total) ** 2
    return np.maximum(variance, 0.0).astype(server[name].dtype)


def _mean_of(name: str) -> str:
    """Return the name of the running mean that belongs to a running variance, else an empty string."""
    stem = name.removesuffix("running_var")
    return "" if stem == name else f"{stem}running_mean"


def _contributing(
    sources: Sequence[TensorSource], weights: Sequence[int]
) -> list[tuple[TensorSource, float]]:
    if any(weight < 0 for weight in weights):
        raise InvalidData(f"weights must not be negative, got {list(weights)}")
    if not any(weights):
        raise InvalidData("no update carries any weight")
    reduced = _without_common_divisor(weights)
    return [(source, float(weight)) for source, weight in zip(sources, reduced, strict=True) if weight > 0]


def _without_common_divisor(weights: Sequence[int]) -> list[int]:
    divisor = math.gcd(*weights) or 1
    return [weight // divisor for weight in weights]


def _median(numbers: Sequence[int]) -> Fraction:
    if not numbers:
        return Fraction(0)
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return Fraction(ordered[middle] + ordered[-middle - 1], 2)


def _require_valid_claims(
    num_examples: Sequence[int], rewards_wad: Sequence[int], kappa: float, cap_ratio: float
) -> None:
    for number in itertools.chain(num_examples, rewards_wad):
        if not isinstance(number, int) or number < 0:
            raise InvalidData(f"examples and rewards must be whole numbers of at least 0, got {number!r}")
    if any(reward > WAD for reward in rewards_wad):
        raise InvalidData(f"a reward exceeds 1: {max(rewards_wad)} of {WAD}")
    if not (0 <= kappa < math.inf and 0 < cap_ratio < math.inf):
        raise InvalidData(f"kappa {kappa} must be at least 0 and cap_ratio {cap_ratio} above 0, both finite")

"""Move, widen, cut and merge the tensors of one layer.

Every tensor is brought into one form first, units in dimension 0 and inputs, if any, in dimension 1:

    matrix (U, I, …)  →  (U, inputs, columns · kernel)      gates (4 U, I)      →  (U, I, 4)
    vector (U,)       →  (U,)                               recurrent (4 U, U)  →  (U, U, 4)
    table (T, U)      →  (U, T)                             gate_vector (4 U,)  →  (U, 4)

so that one permutation serves all gates, all pixels of a channel, all weights of a neuron.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.learn.matching.bbp import Assignment, Prior
from foedus.learn.matching.chain import Layer, LayerTensor
from foedus.learn.matching.exact import Rows, bounded
from foedus.learn.weights import Array, Weights

Shares: TypeAlias = npt.NDArray[np.float64]
"""How much one client's row counts in the merged row: one number per row of the client."""

_GATES = 4


def units(layer: Layer, weights: Weights) -> int:
    """Return how many units the layer has in these weights."""
    first = layer.tensors[0]
    shape = weights[first.name].shape
    if first.role == "table":
        return int(shape[1])
    return int(shape[0]) // (_GATES if first.role == "gates" else 1)


def shape_with(
    layer: Layer, tensor: LayerTensor, like: Sequence[int], width: int, before: int
) -> tuple[int, ...]:
    """Return the tensor's shape with `width` units and `before` units in the layer before.

    `like` is its shape with other widths.
    """
    if tensor.role == "matrix":
        return (width, before * layer.columns or like[1], *like[2:])
    if tensor.role == "gates":
        return (_GATES * width, before * layer.columns or like[1])
    if tensor.role == "recurrent":
        return (_GATES * width, width)
    if tensor.role == "gate_vector":
        return (_GATES * width,)
    if tensor.role == "table":
        return (like[0], width)
    return (width,) if tensor.role == "vector" else ()


def features(layer: Layer, weights: Weights) -> Rows:
    """Return what matching compares: one float64 row (U, D) per unit, its bias last.

    An LSTM's weights of its own units are left out, since their order is what is sought. With batch
    normalisation, weights and bias are those of the layer and the normalisation in one.
    """
    parts = [
        bounded(_by_unit(layer, tensor, weights[tensor.name]).astype(np.float64))
        for tensor in layer.tensors
        if tensor.is_feature
    ]
    rows = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    return rows if layer.norm is None else _folded(layer, rows, weights)


def move_inputs(layer: Layer, weights: Weights, before: Assignment, width: int) -> Weights:
    """Return the layer with its inputs where the layer before has them now; absent inputs weigh 0.

    `before` is the client's assignment in the layer before, `width` that layer's global width. The first
    layer comes back as it is.
    """
    moved = {name: weights[name] for name in layer.names()}
    for tensor in layer.tensors:
        if tensor.role in ("matrix", "gates") and layer.columns:
            form = _by_unit(layer, tensor, weights[tensor.name])
            wide = np.zeros((form.shape[0], width, *form.shape[2:]), form.dtype)
            wide[:, before] = form
            moved[tensor.name] = _restored(tensor, wide, weights[tensor.name].shape)
    return moved


def move_units(layer: Layer, weights: Weights, assignment: Assignment) -> Weights:
    """Return the layer with unit u of these weights as unit `assignment[u]` of as many."""
    order = np.argsort(assignment, kind="stable")
    return {tensor.name: _cut(layer, tensor, weights[tensor.name], order, None) for tensor in layer.tensors}


def cut(layer: Layer, weights: Weights, kept: Assignment | None, before: Assignment | None) -> Weights:
    """Return the layer with only the `kept` units, in that order, and the inputs from the units `before`.

    None keeps all as they are.
    """
    return {tensor.name: _cut(layer, tensor, weights[tensor.name], kept, before) for tensor in layer.tensors}


def merge(
    layer: Layer,
    clients: Sequence[Weights],
    assignments: Sequence[Assignment],
    width: int,
    shares: Sequence[Shares],
) -> Weights:
    """Return the layer of `width` units, each the mean over the clients that have it, in the clients' order.

    Whole rows are averaged: an input that a client does not have counts as 0, and is divided by what all
    clients of the ROW weigh. Accumulated in float64 and rounded once to the tensors' type; counters: maximum.
    """
    totals = np.zeros(width)
    for assignment, share in zip(assignments, shares, strict=True):
        totals[assignment] += share
    merged = {}
    for tensor in layer.tensors:
        like = clients[0][tensor.name]
        if tensor.role == "counter":
            merged[tensor.name] = np.maximum.reduce([client[tensor.name] for client in clients])
            continue
        sums = sum_of_rows(layer, tensor, clients, assignments, width, shares)
        sums /= _per_unit(totals, sums)
        merged[tensor.name] = _restored(tensor, sums, like.shape).astype(like.dtype)
    return merged


def merge_map(
    layer: Layer,
    clients: Sequence[Weights],
    assignments: Sequence[Assignment],
    width: int,
    prior: Prior,
) -> Weights:
    """Return the posterior mode S/V of each row, as the released code does: m rows shrink by m/(m + σ/σ0).

    Tensors that matching does not look at are averaged. `prior.mu0` must be one number.
    """
    assert isinstance(prior.mu0, (int, float)), "one prior mean for all coordinates"
    sigma, pull = prior.sigma, prior.mu0 / prior.sigma0
    ones = [np.ones(len(assignment)) for assignment in assignments]
    merged = dict(merge(layer, clients, assignments, width, ones))
    counts = np.zeros(width)
    for assignment in assignments:
        counts[assignment] += 1.0
    for tensor in layer.tensors:
        if not tensor.is_feature:
            continue
        sums = sum_of_rows(layer, tensor, clients, assignments, width, ones)
        like = clients[0][tensor.name]
        mode = (pull + sums / sigma) / _per_unit(1.0 / prior.sigma0 + counts / sigma, sums)
        merged[tensor.name] = _restored(tensor, mode, like.shape).astype(like.dtype)
    return merged


def sum_of_rows(
    layer: Layer,
    tensor: LayerTensor,
    clients: Sequence[Weights],
    assignments: Sequence[Assignment],
    width: int,
    shares: Sequence[Shares],
) -> Rows:
    """Return Σ_j share · row of one tensor at the rows' global places, in unit form and float64."""
    sums: Rows | None = None
    for client, assignment, share in zip(clients, assignments, shares, strict=True):
        form = _by_unit(layer, tensor, client[tensor.name]).astype(np.float64)
        if tensor.role == "recurrent":
            wide = np.zeros((len(form), width, _GATES))
            wide[:, assignment] = form
            form = wide
        if sums is None:
            sums = np.zeros((width, *form.shape[1:]))
        sums[assignment] += form * _per_unit(share, form)
    assert sums is not None, "a merge has at least one client"
    return sums


def _by_unit(layer: Layer, tensor: LayerTensor, array: Array) -> Array:
    """Return a view, where possible, with units in dimension 0 and inputs in dimension 1."""
    if tensor.role == "matrix":
        return array.reshape(len(array), array.shape[1] // (layer.columns or 1), -1)
    if tensor.role == "table":
        return array.T
    if tensor.role == "vector":
        return array
    gates = array.reshape(_GATES, len(array) // _GATES, *array.shape[1:])
    return np.moveaxis(gates, 0, -1)


def _restored(tensor: LayerTensor, form: Array, like: Sequence[int]) -> Array:
    """Undo `_by_unit`, in a new array; `like` is the shape that the tensor had with other widths."""
    if tensor.role == "matrix":
        shape = (len(form), -1, *like[2:])
        return np.ascontiguousarray(form.reshape(shape))
    if tensor.role == "table":
        return np.ascontiguousarray(form.T)
    if tensor.role == "vector":
        return np.ascontiguousarray(form)
    gates = np.moveaxis(form, -1, 0)
    return np.ascontiguousarray(gates.reshape(-1, *gates.shape[2:]))


def _cut(
    layer: Layer, tensor: LayerTensor, array: Array, kept: Assignment | None, before: Assignment | None
) -> Array:
    if tensor.role == "counter":
        return array.copy()
    form = _by_unit(layer, tensor, array)
    if kept is not None:
        form = form[kept]
    if tensor.role == "recurrent":
        before = kept
    elif tensor.role not in ("matrix", "gates") or not layer.columns:
        before = None
    if before is not None:
        form = form[:, before]
    return _restored(tensor, form.copy(), array.shape)


def _per_unit(numbers: Rows, like: Array) -> Rows:
    """Return one number per unit, shaped so that it meets whole rows."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))


def _folded(layer: Layer, rows: Rows, weights: Weights) -> Rows:
    """Return rows as if batch normalisation, at its running statistics, were in weights and bias."""
    norm = layer.norm
    assert norm is not None
    mean, variance = (bounded(weights[name].astype(np.float64)) for name in (norm.mean, norm.variance))
    scale = 1.0 / np.sqrt(np.maximum(variance, 0.0) + norm.epsilon)
    shift = np.zeros(len(rows))
    if norm.weight:
        scale = scale * bounded(weights[norm.weight].astype(np.float64))
        shift = bounded(weights[norm.bias].astype(np.float64))
    has_bias = any(tensor.role == "vector" and tensor.is_feature for tensor in layer.tensors)
    weight = rows[:, :-1] if has_bias else rows
    bias = rows[:, -1] if has_bias else np.zeros(len(rows))
    return np.concatenate([weight * scale[:, None], ((bias - mean) * scale + shift)[:, None]], axis=1)

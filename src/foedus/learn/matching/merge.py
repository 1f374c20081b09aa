"""The server's side of matched averaging: match layer after layer, and merge what was matched."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from foedus.core.ids import ClientId
from foedus.learn.matching import layers as tensors
from foedus.learn.matching.bbp import Assignment, Matching, Prior, match, match_one_more
from foedus.learn.matching.chain import Chain, Layer
from foedus.learn.matching.exact import Rows, bounded, squared_norms
from foedus.learn.matching.layers import Shares
from foedus.learn.robust import RobustRule, combine
from foedus.learn.vectors import Difference, Known, moved
from foedus.learn.weights import Array, MemorySource, TensorSource, Weights

RowMerge: TypeAlias = Literal["mean", "map"]


@dataclass(frozen=True, slots=True)
class Member:
    """One client in a merge."""

    client: ClientId
    source: TensorSource
    weight: float  # w_k, with rewards
    examples: float  # n_k, without
    labels: Array | None = None  # how many examples of each label, if it says so


@dataclass(frozen=True, slots=True)
class Averaging:
    """How units are matched, and how rows that belong together become one."""

    prior: Prior
    mode: RowMerge = "mean"
    is_weighted: bool = False  # rows by the clients' weights instead of equally

    def weights(self, members: Sequence[Member]) -> list[float]:
        """Return what each client's rows weigh, outputs excepted."""
        return [member.weight if self.is_weighted else 1.0 for member in members]


@dataclass(frozen=True, slots=True)
class MatchedLayer:
    """One layer of all clients, its inputs in the global order, and whose unit is which."""

    layer: Layer
    clients: tuple[Weights, ...]
    matching: Matching
    is_last: bool


@dataclass(frozen=True, slots=True)
class Merged:
    """New global tensors, each client's assignment by layer, and where the server's own units went."""

    weights: dict[str, Array] = field(default_factory=dict)
    assignments: dict[str, tuple[Assignment, ...]] = field(default_factory=dict)
    server: dict[str, Assignment] = field(default_factory=dict)  # with a robust rule only


@dataclass(frozen=True, slots=True)
class Reference:
    """What a robust rule measures moves from: the server's weights, its units still in their old order.

    Within a round `order` says where those of the layers before went, of which `before` is the last.
    """

    weights: Weights
    order: Mapping[str, Assignment] = field(default_factory=dict)
    before: str = ""


def match_layers(
    chain: Chain,
    todo: Sequence[Layer],
    members: Sequence[Member],
    prior: Prior,
    seed: str,
    is_bounded: bool = False,
) -> Iterator[MatchedLayer]:
    """Yield consecutive layers, each matched after its inputs were moved to where the one before put them.

    The first of them has its inputs in the global order already. The last layer of a model is not matched:
    its rows are what they mean. `is_bounded`: nobody's rows count as longer than the median client's.
    """
    before: Matching | None = None
    for layer in todo:
        clients = [{name: member.source.read(name) for name in layer.names()} for member in members]
        if before is not None:
            clients = [
                dict(tensors.move_inputs(layer, client, assignment, before.width))
                for client, assignment in zip(clients, before.assignments, strict=True)
            ]
        if layer is chain.last:
            width = tensors.units(layer, clients[0])
            before = Matching(tuple(np.arange(width) for _ in clients), width)
        else:
            rows = [tensors.features(layer, client) for client in clients]
            before = match(_bounded(rows) if is_bounded else rows, prior, f"{seed}/{layer.name}")
        yield MatchedLayer(layer, tuple(clients), before, layer is chain.last)


def merge_layers(
    matched: Iterator[MatchedLayer], members: Sequence[Member], how: Averaging, extras: Sequence[str] = ()
) -> Merged:
    """Average what belongs together. One client alone comes back as it is, whatever `how` says.

    `extras` are further tensors, which have their units in the global order already; they weigh as rows do.
    """
    merged = Merged()
    for one in matched:
        merged.weights.update(_average(one, members, how))
        if not one.is_last:
            merged.assignments[one.layer.name] = one.matching.assignments
    merged.weights.update({name: _mean_of(name, members, how.weights(members)) for name in extras})
    return merged


def merge_robustly(
    matched: Iterator[MatchedLayer],
    members: Sequence[Member],
    server: Reference,
    prior: Prior,
    rule: RobustRule,
    extras: Sequence[str] = (),
) -> Merged:
    """Move the server by the robust centre of the clients' moves, all in the units' new order.

    The server's own units are brought into that order as if it were one more client. Widths must be fixed.
    The order depends on all clients; the rule bounds what they can do to values. `extras`: as above.
    """
    merged, aligned = Merged(), [{name: m.source.read(name) for name in extras} for m in members]
    reference = {name: server.weights[name] for name in extras}
    trainable: list[str] = []
    before = server.before
    for one in matched:
        order = {**server.order, **merged.server}.get(before)
        own, place = _as_one_more(one, server.weights, order, prior)
        reference.update(tensors.move_units(one.layer, own, place))
        for target, client, assignment in zip(aligned, one.clients, one.matching.assignments, strict=True):
            target.update(tensors.move_units(one.layer, client, assignment))
        if not one.is_last:
            merged.assignments[one.layer.name] = one.matching.assignments
            merged.server[one.layer.name] = place
        trainable += one.layer.trainable()
        before = one.layer.name
    merged.weights.update(_centre(reference, aligned, [member.weight for member in members], trainable, rule))
    return merged


def class_shares(members: Sequence[Member], classes: int) -> list[Shares]:
    """Return p_jk, not normalised: how many examples of class k client j has; for classes nobody has, n_j.

    Labels count in proportion to each other, and sum to the client's examples, however many it claims.
    Clients that say nothing count with their examples in every class.
    """
    shares = []
    for member in members:
        if member.labels is None:
            shares.append(np.full(classes, member.examples))
            continue
        total = float(sum(int(count) for count in member.labels)) or 1.0
        shares.append(member.labels.astype(np.float64) / total * member.examples)
    nobody = np.ones(classes, np.bool_)
    for share in shares:
        nobody &= share == 0.0
    return [np.where(nobody, member.examples, share) for member, share in zip(members, shares, strict=True)]


def _mean_of(name: str, members: Sequence[Member], weights: Sequence[float]) -> Array:
    """Return Σ w_k x_k / Σ w_k of one tensor that needs no matching."""
    first = members[0].source.read(name)
    sums = np.zeros(first.shape)
    for member, weight in zip(members, weights, strict=True):
        sums += member.source.read(name).astype(np.float64) * weight
    mean: Rows = sums / math.fsum(weights)
    return mean.astype(first.dtype)


def _bounded(clients: Sequence[Rows]) -> list[Rows]:
    """Shorten the rows of clients whose rows together are longer than the median client's."""
    clients = [bounded(rows) for rows in clients]
    lengths = [math.sqrt(math.fsum(squared_norms(rows))) for rows in clients]
    median = sorted(lengths)[len(lengths) // 2]
    return [rows * min(1.0, median / (n or 1.0)) for rows, n in zip(clients, lengths, strict=True)]


def _average(one: MatchedLayer, members: Sequence[Member], how: Averaging) -> Weights:
    layer, matching = one.layer, one.matching
    if one.is_last:
        shares = class_shares(members, matching.width)
    else:
        weights = zip(matching.assignments, how.weights(members), strict=True)
        shares = [np.full(len(assignment), weight) for assignment, weight in weights]
    if how.mode == "map" and not one.is_last and len(members) > 1:
        return tensors.merge_map(layer, one.clients, matching.assignments, matching.width, how.prior)
    return tensors.merge(layer, one.clients, matching.assignments, matching.width, shares)


def _as_one_more(
    one: MatchedLayer, server: Weights, order: Assignment | None, prior: Prior
) -> tuple[Weights, Assignment]:
    """Return the server's own layer, its inputs in the new `order`, and where its units go."""
    own: Weights = {name: server[name] for name in one.layer.names()}
    if order is not None:
        own = tensors.move_inputs(one.layer, own, order, len(order))
    if one.is_last:
        return own, np.arange(one.matching.width)
    rows = _bounded([tensors.features(one.layer, client) for client in one.clients])
    return own, match_one_more(tensors.features(one.layer, own), rows, one.matching, prior)


def _centre(
    reference: Weights,
    aligned: Sequence[Weights],
    weights: Sequence[float],
    trainable: Sequence[str],
    rule: RobustRule,
) -> dict[str, Array]:
    floats = [name for name, array in reference.items() if array.dtype.kind == "f"]
    vectors = [Difference(MemorySource(client), reference) for client in aligned]
    centre = combine(vectors, weights, {name: reference[name].size for name in floats}, trainable, rule)
    counters = reference.keys() - centre.keys()
    latest = {name: np.maximum.reduce([client[name] for client in aligned]) for name in counters}
    return {**latest, **moved(reference, centre, Known(centre).block)}

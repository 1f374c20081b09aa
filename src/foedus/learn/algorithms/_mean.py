"""The server side that FedAvg and FedProx share."""

import dataclasses
from collections.abc import Sequence

from foedus.learn.aggregation import merged_rest, weighted_mean
from foedus.learn.robust import combine
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.vectors import Difference, Known, moved
from foedus.learn.weights import Weights


def merge_by_mean(state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
    """Return the state with the mean of the updates, by client id; unchanged when there are none.

    The weighted mean, or the project's robust rule instead.
    """
    ordered = sorted((update for update in updates if update.weight), key=lambda update: update.client)
    if not ordered:
        return state
    sources, weights = [update.source for update in ordered], [update.weight for update in ordered]
    if rules.robust.is_plain:
        merged = weighted_mean(sources, weights, state.weights, rules.parts, rules.buffer_mode)
    else:
        merged = _robust(ordered, state.weights, rules)
    return dataclasses.replace(state, weights=merged)


def _robust(ordered: Sequence[Update], server: Weights, rules: MergeRules) -> Weights:
    """Move the server by the robust centre of the clients' moves, float buffers along with the weights."""
    names = (*rules.parts.trainable, *rules.parts.float_buffers)
    centre = combine(
        [Difference(update.source, server) for update in ordered],
        [float(update.weight) for update in ordered],
        {name: server[name].size for name in names},
        rules.parts.trainable,
        rules.robust,
    )
    rest = merged_rest([u.source for u in ordered], [u.weight for u in ordered], server, rules.parts)
    return {**rest, **moved(server, names, Known(centre).block)}

"""The server side that FedAvg and FedProx share."""

import dataclasses
from collections.abc import Sequence

from foedus.learn.aggregation import weighted_mean
from foedus.learn.strategy import MergeRules, ServerState, Update


def merge_by_mean(state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
    """Return the state with the weighted mean of the updates, by client id; unchanged when there are none."""
    ordered = sorted((update for update in updates if update.weight), key=lambda update: update.client)
    if not ordered:
        return state
    merged = weighted_mean(
        [update.source for update in ordered],
        [update.weight for update in ordered],
        state.weights,
        rules.parts,
        rules.buffer_mode,
    )
    return dataclasses.replace(state, weights=merged)

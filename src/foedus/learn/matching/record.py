"""What a server state remembers of matching: whose unit is whose, and how wide clients' own nets are."""

from collections.abc import Mapping, Sequence

import numpy as np

from foedus.core.errors import InvalidSpec, UpdateRefused
from foedus.core.ids import ClientId
from foedus.learn.matching.bbp import Assignment
from foedus.learn.matching.chain import Chain
from foedus.learn.matching.layers import units
from foedus.learn.matching.merge import Member, Merged
from foedus.learn.strategy import SERVER, MergeRules, ServerState, part_of
from foedus.learn.weights import Weights

_ASSIGN, _WIDTH, _MERGES = "assign/", "width/", "merges"


def merges(state: ServerState) -> int:
    """Return how many merges led to this state; 0 for version 0."""
    return state.counters.get(_MERGES, 0)


def assignments(state: ServerState, part: str) -> dict[str, Assignment]:
    """Return by layer which global units are those of a client (`part_of`) or, in a round, of the server."""
    stored = state.parts.get(part, {})
    return {
        name.removeprefix(_ASSIGN): array.astype(np.int64)
        for name, array in stored.items()
        if name.startswith(_ASSIGN)
    }


def local_widths(chain: Chain, state: ServerState) -> dict[str, int]:
    """Return the width of each layer in clients' own nets: that of version 0, whatever the global net has."""
    return {
        layer.name: state.counters.get(_WIDTH + layer.name, units(layer, state.weights))
        for layer in chain.layers
    }


def require_present(chain: Chain, state: ServerState, client: ClientId, step: int) -> None:
    """Raise `UpdateRefused` (`absent`) unless a client took part in this round's exchanges before `step`."""
    known = assignments(state, part_of(client))
    missed = [layer.name for layer in chain.layers[: step - 1] if layer.name not in known]
    if missed:
        raise UpdateRefused(
            "absent", f"client {client} took no part in this round's exchange of layer {missed[0]!r}"
        )


def require_averaged(chain: Chain, rules: MergeRules) -> None:
    """Raise `InvalidSpec` when normalisation stays with the clients, or its statistics are to be pooled.

    Units are matched together with their statistics, which weigh as the units do.
    """
    if rules.parts.local or (rules.buffer_mode == "pooled" and any(chain.norms())):
        mode = "local" if rules.parts.local else rules.buffer_mode
        raise InvalidSpec(
            f"FedMA averages batch normalisation unit by unit, which buffers = {mode!r} is not",
            'Use buffers = "average".',
        )


def next_state(
    chain: Chain, state: ServerState, members: Sequence[Member], merged: Merged, is_continued: bool
) -> ServerState:
    """Return the state with merged tensors and the assignments of the clients that took part, only those.

    `is_continued`: they come to those of the exchanges before. Who was not there starts afresh some day.
    """
    counters = {**state.counters, _MERGES: merges(state) + 1}
    counters.update({_WIDTH + name: width for name, width in local_widths(chain, state).items()})
    weights = {name: array.copy() for name, array in state.weights.items() if name not in merged.weights}
    parts: dict[str, Weights] = {}
    for index, member in enumerate(members):
        new = {name: found[index] for name, found in merged.assignments.items()}
        parts[part_of(member.client)] = _stored(state, part_of(member.client), new, is_continued)
    parts[SERVER] = _stored(state, SERVER, merged.server, is_continued)
    parts = {name: part for name, part in parts.items() if part}
    return ServerState({**weights, **merged.weights}, parts, counters)


def _stored(
    state: ServerState, part: str, new: Mapping[str, Assignment], is_continued: bool
) -> dict[str, Assignment]:
    known = {**(assignments(state, part) if is_continued else {}), **new}
    return {_ASSIGN + name: array for name, array in known.items()}

"""Which clients train in a round: drawn anew for each, alike by everybody. Pure.

McMahan et al. 2017 draw m = max(⌊C·K⌋, 1) of K clients uniformly. Here everybody sorts the clients by a hash
of terms, round and name, and takes the first m: no coordinator, no message, nothing that could be lost.
"""

import math
from collections.abc import Iterable

from foedus.core.canonical import derive_seed
from foedus.core.ids import Cid, ClientId


def draw_size(clients: int, fraction: float) -> int:
    """Return how many of the clients train in a round."""
    return max(1, math.floor(fraction * clients + 1e-9))  # 0.1 × 30 is 3, not 2.9999999999999996


def draw_order(clients: Iterable[ClientId], terms: Cid, number: int) -> list[ClientId]:
    """Return the clients in the order in which they are called up in this round."""
    return sorted(clients, key=lambda client: derive_seed(terms, "draw", number, client))


def drawn(
    clients: Iterable[ClientId], terms: Cid, number: int, fraction: float, declined: int = 0
) -> frozenset[ClientId]:
    """Return who trains in this round; for each of them that declined, the next in order is called up."""
    order = draw_order(clients, terms, number)
    if fraction >= 1:
        return frozenset(order)
    return frozenset(order[: draw_size(len(order), fraction) + declined])

"""Simulations of many clients: a few members, the hosts, each train the clients of a block of names. Pure.

A host hands over one object that holds the updates of all its clients, registers once and votes once; the
merge takes the updates apart again and treats each as a client's. So the chain's work does not grow with the
clients.
"""

from collections.abc import Mapping

from foedus.core.ids import ClientId


def client_names(count: int) -> list[ClientId]:
    """Name the clients of a simulation: `client-1` …, padded so that they sort by number."""
    return _names("client", count)


def hosted(clients: int, hosts: int) -> Mapping[ClientId, tuple[ClientId, ...]]:
    """Return which clients each host trains: blocks of equal size, the first ones longer by one."""
    names, size, rest = client_names(clients), clients // hosts, clients % hosts
    blocks: dict[ClientId, tuple[ClientId, ...]] = {}
    start = 0
    for number, host in enumerate(_names("host", hosts)):
        stop = start + size + (number < rest)
        blocks[host] = tuple(names[start:stop])
        start = stop
    return blocks


def _names(kind: str, count: int) -> list[ClientId]:
    width = len(str(count))
    return [ClientId(f"{kind}-{number:0{width}}") for number in range(1, count + 1)]

"""Rows for the platform's benchmark: the index of a chain.

One transaction a block; the runs' rounds come in turn.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from eth_utils.address import to_checksum_address

from foedus.core.records import Choice, Phase, Role
from foedus.server import db as tables
from foedus.server.index.standings import ALL_RUNS, as_text

CLIENTS: Final = ("client-1", "client-2", "client-3")
BEGAN: Final = 1_790_000_000
"""Time of the first block."""
_SCORE, _BASE = 800_000_000, 700_000_000
_PER_ROUND: Final = 2 * len(CLIENTS) + 1  # transactions


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is. `rounds` are of each run but the long one."""

    projects: int = 50
    runs: int = 2000
    rounds: int = 100
    long: int = 1000
    transactions: int = 100_000


def chain_rows(size: Size) -> Iterator[tuple[type[tables.Base], Iterator[Mapping[str, Any]]]]:
    """Yield each table of the index with its rows."""
    yield tables.ChainMember, _chain_members(size)
    yield tables.ChainRun, _chain_runs(size)
    yield tables.ChainBlock, _blocks(size)
    yield tables.ChainTransaction, _transactions(size)
    yield tables.ChainEvent, _chain_events(size)
    yield tables.ChainRound, _chain_rounds(size)
    yield tables.ChainVersion, _versions(size)
    yield tables.ChainAnswer, _answers(size, _answer)
    yield tables.ChainVote, _answers(size, _vote)
    yield tables.ChainStanding, _standings(size)
    yield tables.ChainHead, iter([{"id": 1, "block": size.transactions - 1}])


def _chain_members(size: Size) -> Iterator[Mapping[str, Any]]:
    for project in range(1, size.projects + 1):
        for name in CLIENTS:
            role = int(Role.MEMBER)
            yield {"project": project, "address": address_of(name), "name": name, "role": role}


def _chain_runs(size: Size) -> Iterator[Mapping[str, Any]]:
    for number in range(1, size.runs + 1):
        rounds = _chain_rounds_of(number, size)
        yield {
            "run": number,
            "project": project_of(number, size),
            "name": f"run-{number:06}",
            "terms": cid_of("terms"),
            "version0": cid_of(f"version {number} 0"),
            "rules": {},
            "round": rounds,
            "version": rounds,
            "current": cid_of(f"version {number} {rounds}"),
            "started_at": BEGAN + number,
            "ended_rounds": rounds,
            "ended": None if number == 1 else "completed",
            "ended_at": None if number == 1 else BEGAN + number + 1000,
        }


def _blocks(size: Size) -> Iterator[Mapping[str, Any]]:
    for number in range(size.transactions):
        yield {
            "number": number,
            "hash": hash_of(f"block {number}"),
            "parent": hash_of(f"block {number - 1}"),
            "time": BEGAN + number,
            "gas_used": 100_000,
            "state_root": hash_of(f"state {number}"),
            "transactions": 1,
        }


def _transactions(size: Size) -> Iterator[Mapping[str, Any]]:
    for number, run in zip(range(size.transactions), _cycled(size), strict=False):
        yield {
            "block": number,
            "position": 0,
            "hash": hash_of(f"tx {number}"),
            "sender": address_of(CLIENTS[number % len(CLIENTS)]),
            "function": ("register", "register", "register", "propose", "vote", "vote", "vote")[number % 7],
            "args": {"run": run, "number": number},
            "run": run,
            "project": project_of(run, size),
            "gas_used": 100_000,
            "error": None,
            "time": BEGAN + number,
        }


def _chain_events(size: Size) -> Iterator[Mapping[str, Any]]:
    for number, run in zip(range(size.transactions), _cycled(size), strict=False):
        yield {
            "block": number,
            "position": 0,
            "tx": hash_of(f"tx {number}"),
            "name": "Proposed" if number % 7 == 3 else "Registered" if number % 7 < 3 else "Voted",
            "args": {"run": run, "number": number},
            "run": run,
            "project": project_of(run, size),
            "address": address_of(CLIENTS[number % len(CLIENTS)]),
            "cid": cid_of(f"update {number}"),
            "time": BEGAN + number,
        }


def _chain_rounds(size: Size) -> Iterator[Mapping[str, Any]]:
    for run, number in _all_rounds(size):
        began = BEGAN + number * 10
        yield {
            "run": run,
            "number": number,
            "step": 1,
            "phase": int(Phase.ACCEPTED),
            "base": cid_of(f"version {run} {number - 1}"),
            "candidate": cid_of(f"version {run} {number}"),
            "proposer": CLIENTS[0],
            "electorate": len(CLIENTS),
            "beta_ppb": 0,
            "opened_at": began,
            "closed_at": began + 3,
            "proposed_at": began + 5,
            "ended_at": began + 9,
            "deadline": began + 60,
            "opened_block": number,
            "ended_tx": hash_of(f"tx {number}"),
        }


def _versions(size: Size) -> Iterator[Mapping[str, Any]]:
    for run, number in _all_rounds(size):
        yield {
            "run": run,
            "version": number,
            "cid": cid_of(f"version {run} {number}"),
            "round": number,
            "score_ppb": _SCORE,
            "weights": cid_of(f"weights {run} {number}"),
            "size_bytes": 1_600_000,
            "time": BEGAN + number * 10,
            "tx": hash_of(f"tx {number}"),
        }


def _answers(size: Size, row: Callable[[int, int, str], dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for run, number in _all_rounds(size):
        for client in CLIENTS:
            yield row(run, number, client) | _said(run, number, client)


def _said(run: int, number: int, client: str) -> dict[str, Any]:
    return {
        "run": run,
        "round": number,
        "client": client,
        "score_ppb": _SCORE,
        "base_score_ppb": _BASE,
        "time": BEGAN + number * 10,
        "tx": hash_of(f"tx {number}"),
    }


def _answer(run: int, number: int, client: str) -> dict[str, Any]:
    points = str(10**18)
    return {
        "step": 1,
        "cid": cid_of(f"update {run} {number} {client}"),
        "reason": None,
        "num_examples": 64,
        "num_shared": 0,
        "reward": points,
        "paid": points,
        "paid_at": BEGAN + number * 10 + 9,
        "paid_place": (number * 10**6 + run) * len(CLIENTS) + CLIENTS.index(client),
        "paid_tx": hash_of(f"tx {number}"),
    }


def _vote(run: int, number: int, client: str) -> dict[str, Any]:
    return {"choice": int(Choice.YES)}


def _standings(size: Size) -> Iterator[Mapping[str, Any]]:
    for run in range(1, size.runs + 1):
        for client in CLIENTS:
            yield _standing(project_of(run, size), run, client, _chain_rounds_of(run, size))
    rounds = Counter[int]()
    for run in range(1, size.runs + 1):
        rounds[project_of(run, size)] += _chain_rounds_of(run, size)
    for project, ended in rounds.items():
        for client in CLIENTS:
            yield _standing(project, ALL_RUNS, client, ended)


def _standing(project: int, run: int, client: str, rounds: int) -> Mapping[str, Any]:
    return {
        "project": project,
        "run": run,
        "client": client,
        "points": as_text(rounds * 10**18),
        "registrations": rounds,
        "paid": rounds,
        "votes": rounds,
        "answered": rounds,
        "recent": {f"{run}/{number}/1": 1.0 for number in range(max(1, rounds - 29), rounds + 1)},
    }


def _all_rounds(size: Size) -> Iterator[tuple[int, int]]:
    for run in range(1, size.runs + 1):
        for number in range(1, _chain_rounds_of(run, size) + 1):
            yield run, number


def _chain_rounds_of(run: int, size: Size) -> int:
    return size.long if run == 1 else max(1, size.transactions // size.runs // _PER_ROUND)


def _cycled(size: Size) -> Iterator[int]:
    return (1 + number // _PER_ROUND % size.runs for number in count())


def project_of(run: int, size: Size) -> int:
    """Return the number of the project that a run belongs to."""
    return 1 + run % size.projects


def hash_of(text: str) -> str:
    """Return a hash for whatever the text names."""
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def address_of(name: str) -> str:
    """Return the address of a client."""
    return to_checksum_address(hash_of(name)[:42])


def cid_of(text: str) -> str:
    """Return a CID for whatever the text names."""
    digits = hashlib.sha256(text.encode()).hexdigest()[:56]
    return "baf" + digits.translate(str.maketrans("0189", "ghij"))

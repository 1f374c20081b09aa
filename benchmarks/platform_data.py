"""Rows for the platform's benchmark: projects, runs with their numbers, and a chain of transactions."""

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Final

from eth_utils.address import to_checksum_address
from sqlalchemy import insert

from benchmarks.homes import nano_spec
from foedus.core.records import Choice, Phase, Role
from foedus.server import db as tables
from foedus.server.auth import browsers
from foedus.server.platform import Platform

CLIENTS: Final = ("client-1", "client-2", "client-3")
LONG_RUN: Final = "run-000001"
"""The run whose curves and rounds are looked at: it has the most rounds."""
_BATCH: Final = 10_000
_BEGAN: Final = 1_790_000_000
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


@dataclass(frozen=True, slots=True)
class Filled:
    """What is looked for later: the secret of a signed-in browser, a transaction, a CID and an address."""

    cookie: str
    tx: str
    cid: str
    address: str


def fill(platform: Platform, size: Size) -> Filled:
    """Write all rows. One person belongs to all projects, so that every list is as long as it can be."""
    with platform.writing() as db:
        names = ("alice", *CLIENTS)
        people = [
            tables.User(name=name, display_name=name.title(), state="active", address=_address(name))
            for name in names
        ]
        db.add_all(people)
        db.flush()
        cookie = browsers.sign_in(db, people[0], platform.server, platform.now(), "benchmark", "127.0.0.1")
    for table, rows in _rows(size):
        while some := list(islice(rows, _BATCH)):
            with platform.writing() as db:
                db.execute(insert(table), some)
    return Filled(cookie, _hash(f"tx {size.transactions // 2}"), _cid("version 1 1"), _address(CLIENTS[0]))


def _rows(size: Size) -> Iterator[tuple[type[tables.Base], Iterator[Mapping[str, Any]]]]:
    yield tables.Project, _projects(size)
    yield tables.Membership, _memberships(size)
    yield tables.Run, _runs(size)
    yield tables.Metric, _metrics(size)
    yield tables.RunEvent, _events(size)
    yield tables.ChainMember, _chain_members(size)
    yield tables.ChainRun, _chain_runs(size)
    yield tables.ChainBlock, _blocks(size)
    yield tables.ChainTransaction, _transactions(size)
    yield tables.ChainEvent, _chain_events(size)
    yield tables.ChainRound, _chain_rounds(size)
    yield tables.ChainVersion, _versions(size)
    yield tables.ChainAnswer, _answers(size, _answer)
    yield tables.ChainVote, _answers(size, _vote)
    yield tables.ChainHead, iter([{"id": 1, "block": size.transactions - 1}])


# --- what people made ---


def _projects(size: Size) -> Iterator[Mapping[str, Any]]:
    for number in range(1, size.projects + 1):
        slug = f"project-{number:03}"
        yield {"id": number, "slug": slug, "title": f"Project {number}", "draft": {}, "chain_project": number}


def _memberships(size: Size) -> Iterator[Mapping[str, Any]]:
    for project in range(1, size.projects + 1):
        for user, name in enumerate(("alice", *CLIENTS), 1):
            role = "owner" if user == 1 else "member"
            yield {"project_id": project, "user_id": user, "role": role, "client": name}


def _runs(size: Size) -> Iterator[Mapping[str, Any]]:
    spec = nano_spec(size.rounds).model_dump(mode="json")
    began = datetime.datetime.fromtimestamp(_BEGAN, datetime.UTC)
    for number in range(1, size.runs + 1):
        rounds = size.long if number == 1 else size.rounds
        yield {
            "id": number,
            "name": f"run-{number:06}",
            "project_id": _project_of(number, size),
            "created_by": 1,
            "title": f"Benchmark {number}",
            "spec": spec,
            "algorithm": "fedavg",
            "rounds": rounds,
            "state": "running" if number == 1 else "completed",
            "chain_run": number,
            "round": rounds,
            "version": rounds,
            "score": 0.8,
            "created_at": began + datetime.timedelta(minutes=number),
            "started_at": began + datetime.timedelta(minutes=number),
        }


def _metrics(size: Size) -> Iterator[Mapping[str, Any]]:
    """Yield a number for each round of each run; for the long run all that a run gives."""
    for run in range(2, size.runs + 1):
        for number in range(1, size.rounds + 1):
            yield _metric(run, "test_accuracy", "", number)
    for number in range(1, size.long + 1):
        yield _metric(1, "test_accuracy", "", number)
        for client in CLIENTS:
            yield _metric(1, "loss", client, number)
            yield _metric(1, "f1", client, number)


def _metric(run: int, name: str, client: str, number: int) -> Mapping[str, Any]:
    value = 1 - 1 / (1.5 + number + len(client))
    return {"run_id": run, "name": name, "client": client, "round": number, "step": 0, "value": value}


def _events(size: Size) -> Iterator[Mapping[str, Any]]:
    for run in range(1, size.runs + 1):
        for number in range(1, 11):
            yield {"run_id": run, "kind": "round-ended", "round": number, "client": None, "values": {}}


# --- the chain's index: one transaction a block, the rounds of runs in turn ---


def _chain_members(size: Size) -> Iterator[Mapping[str, Any]]:
    for project in range(1, size.projects + 1):
        for name in CLIENTS:
            role = int(Role.MEMBER)
            yield {"project": project, "address": _address(name), "name": name, "role": role}


def _chain_runs(size: Size) -> Iterator[Mapping[str, Any]]:
    for number in range(1, size.runs + 1):
        rounds = _chain_rounds_of(number, size)
        yield {
            "run": number,
            "project": _project_of(number, size),
            "name": f"run-{number:06}",
            "terms": _cid("terms"),
            "version0": _cid(f"version {number} 0"),
            "rules": {},
            "round": rounds,
            "version": rounds,
            "current": _cid(f"version {number} {rounds}"),
            "started_at": _BEGAN + number,
            "ended": None if number == 1 else "completed",
            "ended_at": None if number == 1 else _BEGAN + number + 1000,
        }


def _blocks(size: Size) -> Iterator[Mapping[str, Any]]:
    for number in range(size.transactions):
        yield {
            "number": number,
            "hash": _hash(f"block {number}"),
            "parent": _hash(f"block {number - 1}"),
            "time": _BEGAN + number,
            "gas_used": 100_000,
            "state_root": _hash(f"state {number}"),
            "transactions": 1,
        }


def _transactions(size: Size) -> Iterator[Mapping[str, Any]]:
    for number, run in zip(range(size.transactions), _cycled(size), strict=False):
        yield {
            "block": number,
            "position": 0,
            "hash": _hash(f"tx {number}"),
            "sender": _address(CLIENTS[number % len(CLIENTS)]),
            "function": ("register", "register", "register", "propose", "vote", "vote", "vote")[number % 7],
            "args": {"run": run, "number": number},
            "run": run,
            "project": _project_of(run, size),
            "gas_used": 100_000,
            "error": None,
            "time": _BEGAN + number,
        }


def _chain_events(size: Size) -> Iterator[Mapping[str, Any]]:
    for number, run in zip(range(size.transactions), _cycled(size), strict=False):
        yield {
            "block": number,
            "position": 0,
            "tx": _hash(f"tx {number}"),
            "name": "Proposed" if number % 7 == 3 else "Registered" if number % 7 < 3 else "Voted",
            "args": {"run": run, "number": number},
            "run": run,
            "project": _project_of(run, size),
            "address": _address(CLIENTS[number % len(CLIENTS)]),
            "cid": _cid(f"update {number}"),
            "time": _BEGAN + number,
        }


def _chain_rounds(size: Size) -> Iterator[Mapping[str, Any]]:
    for run, number in _all_rounds(size):
        began = _BEGAN + number * 10
        yield {
            "run": run,
            "number": number,
            "step": 1,
            "phase": int(Phase.ACCEPTED),
            "base": _cid(f"version {run} {number - 1}"),
            "candidate": _cid(f"version {run} {number}"),
            "proposer": CLIENTS[0],
            "electorate": len(CLIENTS),
            "beta_ppb": 0,
            "opened_at": began,
            "closed_at": began + 3,
            "proposed_at": began + 5,
            "ended_at": began + 9,
            "deadline": began + 60,
            "opened_block": number,
            "ended_tx": _hash(f"tx {number}"),
        }


def _versions(size: Size) -> Iterator[Mapping[str, Any]]:
    for run, number in _all_rounds(size):
        yield {
            "run": run,
            "version": number,
            "cid": _cid(f"version {run} {number}"),
            "round": number,
            "score_ppb": _SCORE,
            "weights": _cid(f"weights {run} {number}"),
            "size_bytes": 1_600_000,
            "time": _BEGAN + number * 10,
            "tx": _hash(f"tx {number}"),
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
        "time": _BEGAN + number * 10,
        "tx": _hash(f"tx {number}"),
    }


def _answer(run: int, number: int, client: str) -> dict[str, Any]:
    points = str(10**18)
    cid = _cid(f"update {run} {number} {client}")
    return {"step": 1, "cid": cid, "reason": None, "num_examples": 64, "reward": points, "paid": points}


def _vote(run: int, number: int, client: str) -> dict[str, Any]:
    return {"choice": int(Choice.YES)}


def _all_rounds(size: Size) -> Iterator[tuple[int, int]]:
    for run in range(1, size.runs + 1):
        for number in range(1, _chain_rounds_of(run, size) + 1):
            yield run, number


def _chain_rounds_of(run: int, size: Size) -> int:
    return size.long if run == 1 else max(1, size.transactions // size.runs // _PER_ROUND)


def _cycled(size: Size) -> Iterator[int]:
    return (1 + number // _PER_ROUND % size.runs for number in count())


def _project_of(run: int, size: Size) -> int:
    return 1 + run % size.projects


def _hash(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def _address(name: str) -> str:
    return to_checksum_address(_hash(name)[:42])


def _cid(text: str) -> str:
    digits = hashlib.sha256(text.encode()).hexdigest()[:56]
    return "baf" + digits.translate(str.maketrans("0189", "ghij"))

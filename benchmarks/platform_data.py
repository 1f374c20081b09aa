"""Rows for the platform's benchmark: people, projects, runs and their numbers."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import insert

from benchmarks.homes import nano_spec
from benchmarks.platform_chain import (
    BEGAN,
    CLIENTS,
    Size,
    address_of,
    chain_rows,
    cid_of,
    hash_of,
    project_of,
)
from foedus.server import db as tables
from foedus.server.auth import browsers
from foedus.server.platform import Platform

LONG_RUN: Final = "run-000001"
"""The run whose curves and rounds are looked at: it has the most rounds."""
_BATCH: Final = 10_000


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
            tables.User(name=name, display_name=name.title(), state="active", address=address_of(name))
            for name in names
        ]
        db.add_all(people)
        db.flush()
        cookie = browsers.sign_in(db, people[0], platform.server, platform.now(), "benchmark", "127.0.0.1")
    for table, rows in _rows(size):
        while some := list(islice(rows, _BATCH)):
            with platform.writing() as db:
                db.execute(insert(table), some)
    return Filled(
        cookie, hash_of(f"tx {size.transactions // 2}"), cid_of("version 1 1"), address_of(CLIENTS[0])
    )


def _rows(size: Size) -> Iterator[tuple[type[tables.Base], Iterator[Mapping[str, Any]]]]:
    yield tables.Project, _projects(size)
    yield tables.Membership, _memberships(size)
    yield tables.Run, _runs(size)
    yield tables.Metric, _metrics(size)
    yield tables.RunEvent, _events(size)
    yield from chain_rows(size)


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
    began = datetime.datetime.fromtimestamp(BEGAN, datetime.UTC)
    for number in range(1, size.runs + 1):
        rounds = size.long if number == 1 else size.rounds
        yield {
            "id": number,
            "name": f"run-{number:06}",
            "project_id": project_of(number, size),
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

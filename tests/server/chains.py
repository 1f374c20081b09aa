"""Chains for tests of the platform: runs played out on the contract in a home folder, without training."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from tests.chain.chain_tools import CLIENTS, RULES, Chain, Clock, cid

from foedus.core.ids import Cid, ClientId
from foedus.core.records import Choice, Rules
from foedus.server.db import (
    Base,
    ChainAnswer,
    ChainBlock,
    ChainEvent,
    ChainMember,
    ChainRound,
    ChainRun,
    ChainStanding,
    ChainTransaction,
    ChainVersion,
    ChainVote,
    Project,
)
from foedus.server.index import rebuild
from foedus.server.platform import Platform
from foedus.store import AlgorithmRef, DirectoryStore, ModelManifest, UsedUpdate, put_manifest

TABLES = (
    ChainBlock,
    ChainTransaction,
    ChainEvent,
    ChainMember,
    ChainRun,
    ChainRound,
    ChainAnswer,
    ChainVote,
    ChainVersion,
    ChainStanding,
)


def open_platform_chain(platform: Platform) -> Chain:
    """Open, or begin, the platform's own chain."""
    return Chain(platform.home.root, clock=Clock())


def found(chain: Chain, name: str = "lungs") -> int:
    """Found a project with the three clients; return its number."""
    receipt = chain.do("lead", "create_project", name, "terms")
    number = int(receipt.events[0].args["project"])
    for client in CLIENTS:
        chain.do("lead", "set_member", number, chain.address(client), client, 2)
    return number


def start(chain: Chain, project: int, version0: str, rules: Rules = RULES) -> int:
    """Start a run; return its number."""
    numbers = (rules.rounds, rules.steps, rules.threshold, rules.deadline_s, rules.vote_s)
    gate = (int(rules.gate_mode), rules.beta_ppb, rules.epsilon_ppb)
    receipt = chain.do("lead", "start_run", project, f"baf{'terms':-<56}", version0, *numbers, *gate)
    return int(next(e.args["run"] for e in receipt.events if e.name == "RunStarted"))


def play_round(
    chain: Chain, run: int, candidate: str, choices: tuple[Choice, ...] = (Choice.YES,) * 3, prefix: str = "u"
) -> None:
    """Play a round out: all three register, one proposes, all vote."""
    number, step, *_ = chain.view("round_of", run)
    base = next(
        str(e.args["base"])
        for e in reversed(list(chain.ledger.events()))
        if e.name == "RoundOpened" and e.args["run"] == run
    )
    for place, client in enumerate(CLIENTS):
        update = f"baf{f'{prefix}-{run}-{number}-{client}':-<56}"
        score = 800_000_000 + place * 10_000_000
        chain.do(client, "register", run, number, step, base, update, 10 + place, score, 700_000_000, "job")
    turn = chain.view("turn_of", run)
    proposer = next(c for c in CLIENTS if chain.address(c) == turn)
    chain.do(proposer, "propose", run, number, step, candidate)
    for client, choice in zip(CLIENTS, choices, strict=True):
        chain.do(client, "vote", run, number, int(choice), 800_000_000, 700_000_000)


def put_model(store: DirectoryStore, version: int, base: str | None = None, seed: str = "") -> str:
    """Put a version with small weights into the store; return the CID of its manifest."""
    weights = store.put(f"weights {seed} {version}".encode() * 10)
    update = store.put(f"update {seed} {version}".encode())
    updates = (UsedUpdate(ClientId("alice"), update, 10, 5),) if version else ()
    model = store.put(b"spec")
    parent = None if base is None else Cid(base)
    return put_manifest(
        store, ModelManifest(version, model, weights, parent, AlgorithmRef("fedavg", {}), updates)
    )


@dataclass(frozen=True)
class Story:
    """Two projects on one chain: `lungs` with a run of three rounds, and `hearts` with one that goes on."""

    folder: Path
    first: str  # version 0 of the run of lungs
    second: str  # accepted in round 1
    third: str  # accepted in round 3; the store does not hold it
    theirs: str  # version 0 of the run of hearts


def tell_story(root: Path) -> Story:
    """Play the story out in a home folder."""
    store = DirectoryStore(root / "store")
    chain = Chain(root, clock=Clock())
    first = put_model(store, 0)
    story = Story(root, first, put_model(store, 1, first), cid("third"), put_model(store, 0, seed="hearts"))
    run = start(chain, found(chain), story.first)
    play_round(chain, run, story.second)
    play_round(chain, run, cid("bad"), (Choice.NO, Choice.NO, Choice.YES))
    play_round(chain, run, story.third)
    chain.try_("bob", "vote", 1, 1, 1, 1, 1)  # refused: the run has ended
    theirs = start(chain, found(chain, "hearts"), story.theirs)
    play_round(chain, theirs, cid("heart"), prefix="hidden")
    chain.close()
    return story


def live_story(platform: Platform, story: Story) -> None:
    """Give the platform the story's chain and store, indexed."""
    shutil.copytree(story.folder, platform.home.root, dirs_exist_ok=True)
    rebuild(platform)


def link(platform: Platform, slug: str, number: int) -> None:
    """Say that a project of the platform is this one on the chain."""
    with platform.writing() as db:
        db.scalars(select(Project).where(Project.slug == slug)).one().chain_project = number


def rows_of(platform: Platform, table: type[Base]) -> list[tuple[Any, ...]]:
    """Return all rows of a table, sorted."""
    columns = inspect(table).columns
    with platform.reading() as db:
        return sorted((tuple(row) for row in db.execute(select(*columns))), key=repr)


def whole_index(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """Return the whole index."""
    return {table.__tablename__: rows_of(platform, table) for table in TABLES}

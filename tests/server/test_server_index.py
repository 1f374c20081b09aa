"""The index says what the chain says, whenever it is made, whatever stands on the chain."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import delete, select, update
from tests.chain.chain_tools import CLIENTS, Chain, cid
from tests.server.chains import (
    found,
    open_platform_chain,
    play_round,
    put_model,
    rows_of,
    start,
    whole_index,
)

from foedus.chain.reader import Transaction
from foedus.core.records import Block, Choice, Phase
from foedus.rounds.view import view_run
from foedus.server.db import (
    ChainAnswer,
    ChainBlock,
    ChainEvent,
    ChainHead,
    ChainMember,
    ChainRound,
    ChainRun,
    ChainStanding,
    ChainTransaction,
    ChainVersion,
    ChainVote,
)
from foedus.server.errors import Unavailable
from foedus.server.index import follow, index_state, open_chain, rebuild
from foedus.server.platform import Platform

NO = (Choice.NO, Choice.NO, Choice.YES)


@dataclass
class Between:
    """A chain as a follower sees it that something comes between."""

    chain: Chain
    before_blocks: Callable[[], object] = int
    shown_hash: tuple[int, str] = (-1, "")

    def head(self) -> Block:
        return self.chain.ledger.head()

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        self.before_blocks()
        number, shown = self.shown_hash
        for block in self.chain.ledger.blocks(start, stop):
            yield replace(block, hash=shown) if block.number == number else block

    def transaction(self, tx: str) -> Transaction | None:
        return self.chain.ledger.transaction(tx)


@pytest.fixture
def chain(platform: Platform) -> Iterator[Chain]:
    opened = open_platform_chain(platform)
    yield opened
    opened.close()


@pytest.fixture
def played(platform: Platform, chain: Chain) -> Chain:
    """A run of three rounds: accepted, rejected, accepted."""
    first = put_model(platform.store, 0)
    second = put_model(platform.store, 1, first)
    run = start(chain, found(chain), first)
    play_round(chain, run, second)
    play_round(chain, run, cid("bad"), NO)
    play_round(chain, run, cid("third"))
    return chain


def test_index_agrees_with_the_view_of_the_run(platform: Platform, played: Chain) -> None:
    assert follow(platform, played.ledger) == played.ledger.head().number + 1
    view = view_run(played.ledger.events(), 1)
    with platform.reading() as db:
        run = db.scalars(select(ChainRun)).one()
        rounds = db.scalars(select(ChainRound).order_by(ChainRound.number)).all()
        assert (run.version, run.current, run.ended) == (view.version, view.current, "completed")
        for row, (round_, outcome) in zip(rounds, view.history, strict=True):
            assert (row.phase, row.base, row.candidate) == (round_.phase, round_.base, round_.candidate)
            assert (row.proposer, row.electorate, row.beta_ppb) == (
                round_.proposer,
                len(round_.electorate),
                outcome.beta_ppb,
            )
            answers = db.scalars(select(ChainAnswer).filter_by(round=row.number)).all()
            assert {a.client: a.cid for a in answers} == {r.client: r.cid for r in round_.registrations}
            assert {a.client: int(a.reward) for a in answers} == {
                r.client: r.reward_wad for r in round_.registrations
            }
            assert {a.client: int(a.paid) for a in answers} == {c: outcome.rewards.get(c, 0) for c in CLIENTS}
            votes = db.scalars(select(ChainVote).filter_by(round=row.number)).all()
            assert {v.client: v.choice for v in votes} == {b.client: b.choice for b in round_.ballots}
        assert [row.phase for row in rounds] == [Phase.ACCEPTED, Phase.REJECTED, Phase.ACCEPTED]


def test_versions_name_their_weights_once_the_store_has_them(platform: Platform, played: Chain) -> None:
    follow(platform, played.ledger)
    with platform.reading() as db:
        versions = db.scalars(select(ChainVersion).order_by(ChainVersion.version)).all()
    assert [(v.version, v.round, v.score_ppb) for v in versions] == [
        (0, 0, None),
        (1, 1, 800_000_000),
        (2, 3, 800_000_000),
    ]
    assert versions[1].size_bytes == len("weights  1") * 10
    assert versions[2].weights is None


def test_blocks_transactions_and_events_are_those_of_the_chain(platform: Platform, played: Chain) -> None:
    follow(platform, played.ledger)
    blocks = list(played.ledger.blocks())
    assert {row[1] for row in rows_of(platform, ChainBlock)} == {block.hash for block in blocks}
    with platform.reading() as db:
        for event in played.ledger.events():
            row = db.get(ChainEvent, (event.block, event.index))
            assert row is not None
            assert (row.name, row.tx, row.args) == (event.name, event.tx, dict(event.args))
        vote = db.scalars(select(ChainTransaction).filter_by(function="vote")).first()
        assert vote is not None
        assert (vote.run, vote.project, vote.error) == (1, 1, None)
        founding = db.scalars(select(ChainTransaction).filter_by(function="create_project")).one()
        assert founding.project == 1


def test_index_made_step_by_step_equals_the_rebuilt_one(platform: Platform, chain: Chain) -> None:
    follow(platform, chain.ledger)
    run = start(chain, found(chain), put_model(platform.store, 0))
    follow(platform, chain.ledger)
    play_round(chain, run, cid("one"))
    number, step, *_ = chain.view("round_of", run)
    chain.do("alice", "decline", run, number, step, "gate")
    follow(platform, chain.ledger)
    chain.do(
        "bob",
        "register",
        run,
        number,
        step,
        cid("one"),
        cid("again"),
        5,
        900_000_000,
        1,
        "job",
    )
    chain.do("lead", "cancel_run", run, "enough")
    follow(platform, chain.ledger)
    made = whole_index(platform)
    assert rebuild(platform) == chain.ledger.head().number + 1
    assert whole_index(platform) == made
    assert made["chain_runs"][0][-2] == "enough"
    view = view_run(chain.ledger.events(), run)
    assert (view.ended, view.reason) == ("cancelled", "enough")


def test_refused_transactions_are_kept_with_their_reason(platform: Platform, played: Chain) -> None:
    played.try_("bob", "vote", 1, 1, 1, 1, 1)
    played.try_("bob", "vote", 2**255, 1, 1, 1, 1)
    played.try_("bob", "propose_lead", 2**255, played.address("bob"))
    follow(platform, played.ledger)
    with platform.reading() as db:
        refused = db.scalars(
            select(ChainTransaction)
            .where(ChainTransaction.error.is_not(None))
            .order_by(ChainTransaction.block)
        ).all()
    assert [(t.function, t.run, t.project) for t in refused] == [
        ("vote", 1, 1),
        ("vote", None, None),
        ("propose_lead", None, None),
    ]
    assert refused[0].error == "Foedus: the run has ended"


@pytest.mark.parametrize("name", ["", "<script>", "\x00\x1b[2J", "ü" * 16, "Bob", "a" * 32])
def test_hostile_names_become_names_that_pages_can_show(name: str, platform: Platform, chain: Chain) -> None:
    project = found(chain, "p" * 64)
    chain.try_("lead", "set_member", project, chain.address("dave"), name, 2)
    chain.do("lead", "create_project", "\x00" * 64, "\x1b" * 64)
    follow(platform, chain.ledger)
    with platform.reading() as db:
        names = db.scalars(select(ChainMember.name)).all()
        texts = [str(e.args) for e in db.scalars(select(ChainEvent))]
    assert all(n.isascii() and n.isprintable() and "<" not in n for n in names)
    assert not any("\\x00" in text or "\\x1b" in text for text in texts)


def test_second_follower_writes_nothing(platform: Platform, played: Chain) -> None:
    follow(platform, played.ledger)
    made = whole_index(platform)

    played.do("lead", "create_project", "more", "terms")
    overtaken = Between(played, before_blocks=lambda: follow(platform, played.ledger))
    assert follow(platform, overtaken) == 0
    assert len(whole_index(platform)["chain_blocks"]) == len(made["chain_blocks"]) + 1


def test_another_chain_empties_the_index(
    platform: Platform, played: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    follow(platform, played.ledger)
    played.close()
    for file in platform.home.root.glob("chain.sqlite*"):
        file.unlink()
    shutil.rmtree(platform.home.keys)
    other = open_platform_chain(platform)
    found(other, "other")
    follow(platform, other.ledger)
    assert "index of another chain" in caplog.text
    with platform.reading() as db:
        assert db.scalars(select(ChainRun)).all() == []
        assert db.scalar(select(ChainHead.block)) == other.ledger.head().number
    other.close()


def test_index_of_an_older_form_is_written_anew(platform: Platform, played: Chain) -> None:
    follow(platform, played.ledger)
    before = whole_index(platform)
    with platform.writing() as db:
        db.execute(update(ChainHead).values(form=None))
        db.execute(delete(ChainStanding))
        db.execute(update(ChainRun).values(ended_rounds=0))
    assert follow(platform, played.ledger) == played.ledger.head().number + 1
    assert whole_index(platform) == before
    assert follow(platform, played.ledger) == 0


def test_state_says_how_far_index_and_chain_go(platform: Platform) -> None:
    with platform.reading() as db:
        state = index_state(platform, db)
    assert (state.indexed, state.chain, state.problem) == (-1, None, "there is no chain yet")
    with pytest.raises(Unavailable), open_chain(platform):
        pass
    chain = open_platform_chain(platform)
    follow(platform, chain.ledger)
    found(chain)
    with platform.reading() as db:
        state = index_state(platform, db)
    chain.close()
    assert state.is_behind
    assert state.chain == state.indexed + 4


def test_changed_parent_stops_a_follower_between_two_chains(platform: Platform, played: Chain) -> None:
    follow(platform, played.ledger)
    found(played, "more")
    with platform.writing() as db:
        head = db.scalar(select(ChainHead.block))
        db.execute(update(ChainBlock).filter_by(number=head).values(hash="0x" + "0" * 64))

    assert head is not None
    assert follow(platform, Between(played, shown_hash=(head, "0x" + "0" * 64))) == 0
    with platform.reading() as db:
        assert db.scalar(select(ChainHead.block)) == head

"""The index of the chain. All of it follows from chain and store: `foedus index rebuild` makes it again."""

from typing import Any

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from foedus.server.db.base import Address, Base, Text32, Text64

INDEX_FORM = 2
"""Grows whenever the same chain shall give other rows: the index is then written anew."""
Hash = String(66)  # `0x` and 64 hexadecimal digits


class ChainBlock(Base):
    """A block."""

    __tablename__ = "chain_blocks"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(Hash, unique=True)
    parent: Mapped[str] = mapped_column(Hash)
    time: Mapped[int] = mapped_column(BigInteger)
    gas_used: Mapped[int] = mapped_column(BigInteger)
    state_root: Mapped[str] = mapped_column(Hash)
    transactions: Mapped[int]


class ChainTransaction(Base):
    """A transaction, its call decoded. `function` is empty for the contract's deployment."""

    __tablename__ = "chain_transactions"
    __table_args__ = (
        Index("ix_chain_transactions_sender_block", "sender", "block"),
        Index("ix_chain_transactions_run_block", "run", "block"),
    )

    block: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(Hash, unique=True)
    sender: Mapped[Address]
    function: Mapped[Text64]
    args: Mapped[dict[str, Any]]
    run: Mapped[int | None]  # that it is about
    project: Mapped[int | None] = mapped_column(index=True)
    gas_used: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[str | None] = mapped_column(String(1000))
    time: Mapped[int] = mapped_column(BigInteger)


class ChainEvent(Base):
    """An event of the contract. `cid` and `address` are those it names, for the search."""

    __tablename__ = "chain_events"
    __table_args__ = (
        Index("ix_chain_events_run_block", "run", "block"),
        Index("ix_chain_events_project_block", "project", "block"),
        Index("ix_chain_events_address_block", "address", "block"),
    )

    block: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tx: Mapped[str] = mapped_column(Hash, index=True)
    name: Mapped[Text32] = mapped_column(index=True)
    args: Mapped[dict[str, Any]]
    run: Mapped[int | None]
    project: Mapped[int | None]
    address: Mapped[Address | None]
    cid: Mapped[Text64 | None] = mapped_column(index=True)
    time: Mapped[int] = mapped_column(BigInteger)


class ChainMember(Base):
    """An account in a project on the chain."""

    __tablename__ = "chain_members"

    project: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[Address] = mapped_column(primary_key=True)
    name: Mapped[Text32]
    role: Mapped[int]  # `core.records.Role`


class ChainRun(Base):
    """A run on the chain, and where it stands. `rules` has the gate's threshold as it is in force now."""

    __tablename__ = "chain_runs"

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project: Mapped[int] = mapped_column(index=True)
    name: Mapped[Text64]  # as its terms say, which are in the store; empty when they are not
    terms: Mapped[Text64]
    version0: Mapped[Text64]
    rules: Mapped[dict[str, Any]]
    round: Mapped[int]
    version: Mapped[int]
    current: Mapped[Text64]
    started_at: Mapped[int] = mapped_column(BigInteger)
    ended_rounds: Mapped[int] = mapped_column(default=0)
    ended: Mapped[Text64 | None]  # `completed`, or why it was cancelled
    ended_at: Mapped[int | None] = mapped_column(BigInteger)


class ChainRound(Base):
    """A round of a run: `phase` as `core.records.Phase`. Times are block times."""

    __tablename__ = "chain_rounds"

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[int]
    phase: Mapped[int]
    base: Mapped[Text64]
    candidate: Mapped[Text64 | None]
    proposer: Mapped[Text32 | None]
    electorate: Mapped[int]  # clients that may vote
    beta_ppb: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    proposed_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    deadline: Mapped[int] = mapped_column(BigInteger)  # of the phase it is in
    opened_block: Mapped[int]
    ended_tx: Mapped[str | None] = mapped_column(Hash)


class ChainAnswer(Base):
    """What a client answered in a step: an update it registered, or why it declined.

    `num_shared`, of its examples, came from what the project shares; none while the store lacks the
    update. `paid_place` orders rewards as the chain does.
    """

    __tablename__ = "chain_answers"
    __table_args__ = (
        Index("ix_chain_answers_paid_at_paid_place", "paid_at", "paid_place"),
        Index("ix_chain_answers_num_shared_time", "num_shared", "time"),
    )

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    client: Mapped[Text32] = mapped_column(primary_key=True)
    cid: Mapped[Text64 | None] = mapped_column(index=True)  # none: declined
    reason: Mapped[Text64 | None]
    num_examples: Mapped[int] = mapped_column(BigInteger)
    num_shared: Mapped[int | None] = mapped_column(BigInteger)
    score_ppb: Mapped[int] = mapped_column(BigInteger)
    base_score_ppb: Mapped[int] = mapped_column(BigInteger)
    reward: Mapped[str] = mapped_column(String(80))  # 1e-18; larger than a database's integers
    paid: Mapped[str] = mapped_column(String(80))  # once the round was accepted
    paid_at: Mapped[int | None] = mapped_column(BigInteger)  # none: it was not paid
    paid_place: Mapped[int | None] = mapped_column(BigInteger)
    paid_tx: Mapped[str | None] = mapped_column(Hash)
    time: Mapped[int] = mapped_column(BigInteger)
    tx: Mapped[str] = mapped_column(Hash)


class ChainStanding(Base):
    """What a client did and earned in a run; in run 0, in all runs of the project together."""

    __tablename__ = "chain_standings"
    __table_args__ = (Index("ix_chain_standings_run_points", "run", "points"),)

    project: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    client: Mapped[Text32] = mapped_column(primary_key=True)
    points: Mapped[str] = mapped_column(String(40))  # 1e-18, 40 digits: these texts sort as numbers do
    registrations: Mapped[int] = mapped_column(default=0)
    paid: Mapped[int] = mapped_column(default=0)  # of them
    votes: Mapped[int] = mapped_column(default=0)
    answered: Mapped[int] = mapped_column(default=0)  # ended rounds that it answered in
    recent: Mapped[dict[str, Any]]  # points of its last answers in order, by `run/round/step`


class ChainVote(Base):
    """A vote: `choice` as `core.records.Choice`."""

    __tablename__ = "chain_votes"

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    client: Mapped[Text32] = mapped_column(primary_key=True)
    choice: Mapped[int]
    score_ppb: Mapped[int] = mapped_column(BigInteger)
    base_score_ppb: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[int] = mapped_column(BigInteger)
    tx: Mapped[str] = mapped_column(Hash)


class ChainVersion(Base):
    """A global model: version 0 of a run, or one that a ballot accepted."""

    __tablename__ = "chain_versions"

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cid: Mapped[Text64] = mapped_column(index=True)
    round: Mapped[int]  # that made it; 0 for version 0
    score_ppb: Mapped[int | None] = mapped_column(BigInteger)  # mean of the voters' scores
    weights: Mapped[Text64 | None] = mapped_column(
        index=True
    )  # by the manifest, none while it is not in the store
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of the weights
    time: Mapped[int] = mapped_column(BigInteger)
    tx: Mapped[str] = mapped_column(Hash)


class ChainHead(Base):
    """Up to which block the index goes, and of which form its rows are: one row."""

    __tablename__ = "chain_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block: Mapped[int]
    form: Mapped[int | None] = mapped_column(default=INDEX_FORM)  # an older one than ours is written anew

"""Follows the chain: blocks after the index's head become rows, some blocks at a time."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.chain.reader import ChainReader, Transaction
from foedus.core.errors import ChainDamaged
from foedus.core.records import Block
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
from foedus.server.db.chain import INDEX_FORM
from foedus.server.errors import Unavailable
from foedus.server.index.complete import complete
from foedus.server.index.fold import fold
from foedus.server.index.rows import Rows, block_row, event_row, transaction_row
from foedus.server.platform import Platform

_log = logging.getLogger(__name__)

_TABLES: Final = (
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
_BATCH: Final = 100  # blocks in one transaction
_EMPTY: Final = -1  # the head's block before the first one


class Chain(Protocol):
    """What is read of a chain: by `ChainReader`, and by the ledger that writes it."""

    def head(self) -> Block:
        """Return the newest block."""

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield blocks `start` to `stop` (exclusive) in order."""

    def transaction(self, tx: str) -> Transaction | None:
        """Return the transaction of this hash, with its events."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far the index goes, and how far the chain; `problem` says why the chain cannot be read."""

    indexed: int  # -1: nothing yet
    chain: int | None
    problem: str = ""

    @property
    def is_behind(self) -> bool:
        """Whether the chain has blocks that the index lacks."""
        return self.chain is not None and self.indexed < self.chain


@contextmanager
def open_chain(platform: Platform) -> Iterator[ChainReader]:
    """Open the platform's chain for reading. Raises `Unavailable` when that cannot be."""
    path = platform.home.chain
    if not path.is_file():
        raise Unavailable("there is no chain yet", "It begins with the first project.")
    try:
        reader = ChainReader.open(path)
    except ChainDamaged as error:
        raise Unavailable(f"the chain cannot be read: {error.message}", error.hint) from error
    try:
        yield reader
    finally:
        reader.close()


def index_state(platform: Platform, db: Session) -> IndexState:
    """Return how far index and chain go."""
    indexed = db.scalar(select(ChainHead.block))
    found = _EMPTY if indexed is None else indexed
    try:
        with open_chain(platform) as reader:
            return IndexState(found, reader.head().number)
    except Unavailable as error:
        return IndexState(found, None, error.message)


def follow(platform: Platform, chain: Chain) -> int:
    """Write what the index lacks of the chain, and return how many blocks that were.

    Several may follow at once: each batch is written by one of them only. An index of another chain than
    this one is emptied first, with a warning in the log.
    """
    head = chain.head()
    start = _next_block(platform, chain, head)
    written = 0
    while start <= head.number:
        found = _read(chain, start, min(start + _BATCH, head.number + 1))
        with platform.writing() as db:
            if not _claim(db, found[0][0], found[-1][0].number):
                break  # another follower wrote it
            _write(db, found)
        written += len(found)
        start = found[-1][0].number + 1
    complete(platform)
    return written


def rebuild(platform: Platform) -> int:
    """Empty the index and follow the chain from its first block; return how many blocks there are."""
    with open_chain(platform) as reader:
        _clear(platform)
        return follow(platform, reader)


def _next_block(platform: Platform, chain: Chain, head: Block) -> int:
    with platform.reading() as db:
        written = db.get(ChainHead, 1)
        indexed = None if written is None else written.block
        is_older = written is not None and written.form != INDEX_FORM
        known = None if indexed is None else db.scalar(select(ChainBlock.hash).filter_by(number=indexed))
    if indexed is None:
        _make_head(platform)
        return 0
    if is_older:
        _log.info("index of an older form emptied height=%d", indexed)
        _clear(platform)
        return 0
    if indexed > head.number or (known and next(chain.blocks(indexed, indexed + 1)).hash != known):
        _log.warning("index of another chain emptied height=%d chain=%d", indexed, head.number)
        _clear(platform)
        return 0
    return indexed + 1


def _make_head(platform: Platform) -> None:
    try:
        with platform.writing() as db:
            if db.get(ChainHead, 1) is None:
                db.add(ChainHead(id=1, block=_EMPTY))
    except IntegrityError:
        _log.info("another follower began the index")


def _clear(platform: Platform) -> None:
    _make_head(platform)
    with platform.writing() as db:
        db.execute(update(ChainHead).values(block=_EMPTY, form=INDEX_FORM))
        for table in _TABLES:
            db.execute(delete(table))


def _read(chain: Chain, start: int, stop: int) -> list[tuple[Block, list[Transaction]]]:
    """Read blocks with their transactions, before the database is locked."""
    found = []
    for block in chain.blocks(start, stop):
        transactions = [chain.transaction(tx) for tx in block.transactions]
        found.append((block, [one for one in transactions if one is not None]))
    return found


def _claim(db: Session, first: Block, last: int) -> bool:
    """Move the head, if it still stands before the first block: whoever succeeds writes the rows."""
    moved = update(ChainHead).where(ChainHead.block == first.number - 1).values(block=last)
    if cast(CursorResult[Any], db.execute(moved)).rowcount != 1:
        return False
    parent = db.scalar(select(ChainBlock.hash).filter_by(number=first.number - 1))
    if parent is not None and parent != first.parent:
        db.rollback()
        return False
    return True


def _write(db: Session, found: Sequence[tuple[Block, list[Transaction]]]) -> None:
    rows = Rows(db)
    blocks, transactions, events = [], [], []
    for block, contents in found:
        blocks.append(block_row(block))
        for position, one in enumerate(contents):
            for event in one.receipt.events:
                fold(rows, event)
                events.append(event_row(event, rows))
            transactions.append(transaction_row(one, position, rows))
    db.flush()
    for table, values in ((ChainBlock, blocks), (ChainTransaction, transactions), (ChainEvent, events)):
        if values:
            db.execute(insert(table), values)

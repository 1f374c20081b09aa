"""Reads a chain's file: blocks, transactions and events, decoded. Needs no EVM, so it opens fast."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import rlp
from eth_utils.crypto import keccak

from foedus.chain.abi import ADDRESS, WORD, ContractAbi, checksummed
from foedus.chain.sqlite import connect_readonly
from foedus.core.errors import ChainDamaged
from foedus.core.ids import TxHash
from foedus.core.records import Block, Event, Receipt, Value

EVENTS = (
    "SELECT e.block, e.position, e.topics, e.data, b.time, t.hash FROM events e"
    " JOIN blocks b ON b.number = e.block JOIN transactions t ON t.block = e.block AND t.position = e.tx"
)
RAW_NONCE, RAW_TO, RAW_DATA = 0, 3, 5
"""Places in a transaction's RLP list."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction as an explorer shows it."""

    sender: str
    function: str  # empty for the contract's deployment and for what is no call of the contract
    args: Mapping[str, Value]
    receipt: Receipt


def text_of(data: bytes) -> str:
    """Return bytes as `0x…`."""
    return "0x" + data.hex()


def block_of(header: bytes, block_hash: bytes, transactions: tuple[TxHash, ...]) -> Block:
    """Decode a header's RLP into the record."""
    fields = rlp.decode(header)
    return Block(
        number=int.from_bytes(fields[8], "big"),
        hash=text_of(block_hash),
        parent=text_of(fields[0]),
        timestamp=int.from_bytes(fields[11], "big"),
        gas_used=int.from_bytes(fields[10], "big"),
        state_root=text_of(fields[3]),
        transactions=transactions,
    )


class ChainReader:
    """What anybody may read from a chain's file, also while its owner goes on writing."""

    def __init__(
        self, db: sqlite3.Connection, abi: ContractAbi, lock: AbstractContextManager[Any] | None = None
    ) -> None:
        self._db = db
        self._abi = abi
        self._lock = lock or RLock()
        self._address: bytes | None = None

    @classmethod
    def open(cls, path: Path) -> "ChainReader":
        """Open the file for reading only. Raises `ChainDamaged` when it is no chain's file or holds none."""
        db = connect_readonly(path)
        try:
            is_chain = db.execute("SELECT 1 FROM blocks WHERE number = 0").fetchone() is not None
        except sqlite3.DatabaseError:
            is_chain = False
        if not is_chain:
            db.close()
            raise ChainDamaged("database", "holds no chain yet")
        return cls(db, ContractAbi.shipped())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _query(self, sql: str, *args: Value) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, args).fetchall()

    def head(self) -> Block:
        """Return the newest block."""
        return next(self._blocks("WHERE number = (SELECT max(number) FROM blocks)"))

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield blocks `start` to `stop` (exclusive; None: to the head) in order."""
        end = self.head().number + 1 if stop is None else stop
        yield from self._blocks("WHERE number >= ? AND number < ? ORDER BY number", start, end)

    def _blocks(self, where: str, *args: int) -> Iterator[Block]:
        query = f"SELECT number, hash, header FROM blocks {where}"  # noqa: S608 — our own clauses
        for number, block_hash, header in self._query(query, *args):
            rows = self._query("SELECT hash FROM transactions WHERE block = ? ORDER BY position", number)
            hashes = tuple(TxHash(text_of(row[0])) for row in rows)
            yield block_of(header, block_hash, hashes)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the contract's events in chain order, from block `since` (inclusive) to the head."""
        for row in self._query(f"{EVENTS} WHERE e.block >= ? ORDER BY e.block, e.position", since):
            yield self.decode(*row)

    def decode(self, block: int, index: int, topics: bytes, data: bytes, time: int, tx: bytes) -> Event:
        """Decode one row of the events' table."""
        words = [topics[i : i + WORD] for i in range(0, len(topics), WORD)]
        name, args = self._abi.decode_event(words, data)
        return Event(name, args, block, time, TxHash(text_of(tx)), index)

    def transaction(self, tx: str) -> Transaction | None:
        """Return the transaction of this hash, or None."""
        rows = self._query(
            "SELECT t.block, t.position, t.sender, t.raw, t.gas_used, t.error, b.time FROM transactions t"
            " JOIN blocks b ON b.number = t.block WHERE t.hash = ?",
            bytes.fromhex(tx.removeprefix("0x")),
        )
        if not rows:
            return None
        block, position, sender, raw, gas_used, error, time = rows[0]
        found = self._query(
            f"{EVENTS} WHERE e.block = ? AND e.tx = ? ORDER BY e.position",
            block,
            position,
        )
        events = tuple(self.decode(*row) for row in found)
        receipt = Receipt(TxHash(tx), block, time, gas_used, error, events)
        fields = rlp.decode(raw)
        is_call = fields[RAW_TO] == self._contract()
        function, args = self._abi.decode_call(fields[RAW_DATA] if is_call else b"")
        return Transaction(checksummed(sender), function, args, receipt)

    def contract(self) -> str:
        """Return the contract's address."""
        return checksummed(self._contract())

    def _contract(self) -> bytes:
        """Return the contract's address: it is what the chain's first transaction creates."""
        if self._address is None:
            ((sender, raw),) = self._query(
                "SELECT sender, raw FROM transactions WHERE block = 1 AND position = 0"
            )
            self._address = keccak(rlp.encode([sender, rlp.decode(raw)[RAW_NONCE]]))[-ADDRESS:]
        return self._address

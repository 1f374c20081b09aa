"""The chain's SQLite file: its tables, and the state's nodes as the key-value store that py-evm wants.

One SQLite transaction per block, `synchronous=FULL`: a block is there with everything that belongs to it, or
not at all. The journal is a write-ahead log: one sync per block, and others can read meanwhile; but it must
be on a local file system.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from foedus.core.errors import ChainDamaged, StorageFull

APPLICATION_ID = 0x464F4544
"""Marks the file as ours ("FOED")."""

TABLES = {
    "nodes": "CREATE TABLE nodes (hash BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "blocks": "CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, time INTEGER NOT NULL,"
    " header BLOB NOT NULL)",
    "transactions": "CREATE TABLE transactions (block INTEGER, position INTEGER, hash BLOB NOT NULL,"
    " sender BLOB NOT NULL, raw BLOB NOT NULL, gas_used INTEGER NOT NULL, error TEXT,"
    " PRIMARY KEY (block, position)) WITHOUT ROWID",
    "transaction_hashes": "CREATE UNIQUE INDEX transaction_hashes ON transactions (hash)",
    "events": "CREATE TABLE events (block INTEGER, position INTEGER, tx INTEGER NOT NULL,"
    " topics BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (block, position)) WITHOUT ROWID",
}
KEPT_NODES = 4_000  # in each of two generations


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing, creating the file and its tables when it is new."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8000")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            script = ";".join(TABLES.values())
            db.executescript(
                f"BEGIN; {script}; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=1; COMMIT"
            )
    except sqlite3.DatabaseError as error:
        db.close()
        raise ChainDamaged("database", str(error)) from error
    return db


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open for reading only; another process may go on writing. Raises `ChainDamaged` if that cannot be."""
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise ChainDamaged("database", str(error)) from error
    return db


def insert_statement(table: str, columns: int) -> str:
    """Return the statement that inserts a row into one of our tables."""
    return f"INSERT INTO {table} VALUES ({','.join('?' * columns)})"  # noqa: S608 — names of our own tables


class NodeTable:
    """Nodes of the state by hash: reads fall through to SQLite, writes wait for `commit`.

    A node's hash is its key, so rows never change and the cache of recent ones is never stale.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._recent: dict[bytes, bytes] = {}
        self._older: dict[bytes, bytes] = {}
        self._pending: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the node, or None."""
        value = self._recent.get(key)
        if value is None:
            value = self._pending.get(key)
        if value is None:
            value = self._older.get(key) or self._stored(key)
            if value is not None:
                self._recent[key] = value
        return value

    def _stored(self, key: bytes) -> bytes | None:
        row = self._db.execute("SELECT value FROM nodes WHERE hash = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: bytes, value: bytes) -> None:
        """Keep the node for `commit`; one that is stored already stays as it is."""
        if self.get(key) is None:
            self._pending[key] = value

    def commit(self, rows: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
        """Write the waiting nodes and the rows of other tables in one durable transaction, or nothing.

        Raises `StorageFull` when there is no space.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(insert_statement("nodes", 2), self._pending.items())
            for table, values in rows:
                if values:
                    self._db.executemany(insert_statement(table, len(values[0])), values)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self.discard()
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StorageFull("no space left for the chain", "Make room and start again.") from error
            raise
        if len(self._recent) > KEPT_NODES:
            self._recent, self._older = {}, self._recent
        self._recent.update(self._pending)
        self._pending.clear()

    def discard(self) -> None:
        """Forget the waiting nodes."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._pending.clear()

"""The audit finds any change of any row; untouched chains pass."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from chain_tools import At, copy_of

from foedus.chain import audit_chain
from foedus.chain.sqlite import TABLES
from foedus.core.errors import ChainDamaged

DATA = ("nodes", "blocks", "transactions", "events")


@pytest.fixture
def damaged(situations: dict[str, Path], tmp_path: Path) -> Path:
    """A chain's file to damage."""
    return copy_of(situations["second"], tmp_path / "home") / "chain.sqlite"


def change(path: Path, sql: str, *args: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(sql, args).rowcount > 0


def rows_of(path: Path) -> list:
    with closing(sqlite3.connect(path)) as db:
        tables = [db.execute(f"SELECT * FROM {table}").fetchall() for table in DATA]  # noqa: S608
        return [*tables, db.execute("SELECT name, sql FROM sqlite_master").fetchall()]


def test_an_untouched_chain_passes_and_reports_progress(damaged: Path) -> None:
    heard = []
    report = audit_chain(damaged, lambda done, total: heard.append((done, total)))
    assert report.blocks == heard[-1][0] == heard[-1][1]
    assert report.blocks == len(heard) + 1
    assert report.transactions == report.blocks - 1  # one each, but for the first block
    assert len(report.head) == 66


def test_an_open_chain_can_be_audited(at: At) -> None:
    chain = at("voting")
    report = audit_chain(chain.path)
    assert report.head == chain.ledger.head().hash


COLUMNS = [
    ("nodes", "value"),
    ("nodes", "hash"),
    ("blocks", "hash"),
    ("blocks", "header"),
    ("transactions", "hash"),
    ("transactions", "sender"),
    ("transactions", "raw"),
    ("events", "topics"),
    ("events", "data"),
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_flipped_bit_is_found_in_every_column(damaged: Path, table: str, column: str) -> None:
    rng = random.Random(1)
    keys = {"nodes": "hash", "blocks": "number"}.get(table, "block * 1000 + position")
    with closing(sqlite3.connect(damaged)) as db:
        rows = db.execute(f"SELECT {keys}, {column} FROM {table} ORDER BY 1").fetchall()  # noqa: S608
    key, value = rows[len(rows) // 2]
    at = rng.randrange(len(value))
    flipped = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    change(damaged, f"UPDATE {table} SET {column} = ? WHERE {keys} = ?", flipped, key)  # noqa: S608
    with pytest.raises(ChainDamaged) as caught:
        audit_chain(damaged)
    if table != "nodes":
        number = key if table == "blocks" else key // 1000
        assert caught.value.place == f"block {number}"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE blocks SET time = time + 1 WHERE number = 3",
        "UPDATE blocks SET time = 5 WHERE number = 3",
        "UPDATE blocks SET time = 'noon' WHERE number = 3",
        "UPDATE blocks SET time = time + 0.5 WHERE number = 3",
        "UPDATE blocks SET time = time - 1 WHERE number = 0",
        "UPDATE transactions SET gas_used = gas_used + 1 WHERE block = 3",
        "UPDATE transactions SET error = 'no' WHERE block = 3",
        "UPDATE transactions SET hash = hex(hash) WHERE block = 3",
        "UPDATE transactions SET position = 1 WHERE block = 3",
        "UPDATE transactions SET block = 99 WHERE block = 3",
        "UPDATE events SET tx = 1 WHERE block = 3",
        "UPDATE events SET data = CAST(data AS TEXT) WHERE block = 2",
        "DELETE FROM nodes WHERE hash = (SELECT max(hash) FROM nodes)",
        "DELETE FROM blocks WHERE number = 0",
        "DELETE FROM blocks WHERE number = 3",
        "DELETE FROM transactions WHERE block = 3",
        "DELETE FROM events WHERE block = 3",
        "DELETE FROM transactions WHERE block = (SELECT max(block) FROM transactions)",
        "INSERT INTO nodes VALUES (x'00', x'00')",
        "INSERT INTO nodes VALUES ('text', x'00')",
        "INSERT INTO blocks SELECT number + 100, hash, time, header FROM blocks WHERE number = 3",
        "INSERT INTO events SELECT block, position + 9, tx, topics, data FROM events WHERE block = 3",
        "INSERT INTO events SELECT block + 900, position, tx, topics, data FROM events WHERE block = 3",
        "INSERT INTO transactions VALUES (900, 0, x'01', x'01', x'01', 0, NULL)",
    ],
)
def test_changed_missing_and_extra_rows_are_found(damaged: Path, sql: str) -> None:
    change(damaged, sql)
    with pytest.raises(ChainDamaged):
        audit_chain(damaged)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (x)",
        "DROP TABLE events",
        "DROP INDEX transaction_hashes",
        "PRAGMA user_version=2",
        "PRAGMA application_id=1",
        "CREATE TRIGGER t AFTER INSERT ON blocks BEGIN DELETE FROM events; END",
    ],
)
def test_another_form_of_the_file_is_found(damaged: Path, sql: str) -> None:
    with closing(sqlite3.connect(damaged)) as db, db:
        db.execute(sql)
    with pytest.raises(ChainDamaged, match="tables"):
        audit_chain(damaged)


def test_swapped_blocks_are_found_at_the_first(damaged: Path) -> None:
    for old, new in [(3, -1), (4, 3), (-1, 4)]:
        change(damaged, "UPDATE blocks SET number = ? WHERE number = ?", new, old)
    with pytest.raises(ChainDamaged) as caught:
        audit_chain(damaged)
    assert caught.value.place == "block 3"


@pytest.mark.parametrize("keep", [0, 100, 4096, 40_000])
def test_truncated_files_are_found(damaged: Path, keep: int) -> None:
    damaged.write_bytes(damaged.read_bytes()[:keep])
    with pytest.raises(ChainDamaged):
        audit_chain(damaged)


def test_garbage_and_missing_files_are_found(tmp_path: Path) -> None:
    with pytest.raises(ChainDamaged):
        audit_chain(tmp_path / "missing")
    (tmp_path / "garbage").write_bytes(random.Random(1).randbytes(8192))
    with pytest.raises(ChainDamaged):
        audit_chain(tmp_path / "garbage")


@pytest.mark.slow
def test_a_flipped_byte_anywhere_is_found_or_changes_no_row(damaged: Path) -> None:
    """Bytes of no row (free space, counters) may pass; then every row must still read the same."""
    rng = random.Random(7)
    whole = damaged.read_bytes()
    rows = rows_of(damaged)
    found = 0
    for _ in range(40):
        at = rng.randrange(len(whole))
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        try:
            audit_chain(damaged)
        except ChainDamaged:
            found += 1
        else:
            assert rows_of(damaged) == rows
    assert found > 20


def test_an_index_that_lost_an_entry_is_found(damaged: Path) -> None:
    """The index answers `transaction(hash)`; its pages are no rows of a table but must agree with them."""
    with closing(sqlite3.connect(damaged)) as db, db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute("DELETE FROM sqlite_master WHERE name = 'transaction_hashes'")
    with closing(sqlite3.connect(damaged)) as db, db:
        db.execute("DELETE FROM transactions WHERE block = 3")
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE transactions SET hash = hash")
    with pytest.raises(ChainDamaged):
        audit_chain(damaged)
    assert "transaction_hashes" in TABLES

"""Replay a chain from its first block and compare every row of its file with what the rules give.

Trusts nothing in the file: transactions are executed again with their signatures checked, headers, state and
receipts are made anew, and each row of each table must be exactly what was made. The first transaction must
deploy the contract that this version of Foedus carries; only its logs are events. What a file cannot show is
that blocks at its very end are missing: whoever wants to know compares `AuditReport.head` with what a member
remembers.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from eth.abc import BlockHeaderAPI

from foedus.chain.abi import ContractAbi
from foedus.chain.rows import Row, Rows, block_rows, contract_of, genesis_rows
from foedus.chain.sqlite import APPLICATION_ID, TABLES, connect_readonly
from foedus.chain.vm import CREATE, BlockBuilder, SealedBlock, decode_transaction, genesis_header
from foedus.core.errors import ChainDamaged

ORDER = {"blocks": "number", "transactions": "block, position", "events": "block, position"}
RAW, TIME = 4, 2
"""Columns of `transactions` and `blocks`."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a successful audit went through; `head` is the newest block's hash."""

    blocks: int
    transactions: int
    events: int
    nodes: int
    head: str


class _ReplayedNodes:
    """State nodes of the replay in memory, with the block that made each."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.block = 0

    def get(self, key: bytes) -> bytes | None:
        found = self.values.get(key)
        return None if found is None else found[0]

    def put(self, key: bytes, value: bytes) -> None:
        self.values.setdefault(key, (value, self.block))


def audit_chain(path: Path, progress: Callable[[int, int], None] | None = None) -> AuditReport:
    """Audit the file; `progress(done, total)` hears of every block.

    Raises `ChainDamaged` naming the first block or row that is changed, missing or too much. Safe while the
    owner goes on writing: it sees one state of the file throughout.
    """
    try:
        with closing(connect_readonly(path)) as db:
            db.isolation_level = None
            db.execute("BEGIN")
            return _Audit(db, progress or (lambda done, total: None)).run()
    except sqlite3.Error as error:
        raise ChainDamaged("database", str(error)) from error


class _Audit:
    def __init__(self, db: sqlite3.Connection, progress: Callable[[int, int], None]) -> None:
        self._db = db
        self._progress = progress
        self._nodes = _ReplayedNodes()
        self._bytecode = ContractAbi.shipped().bytecode
        self._contract = b""
        self._seen = dict.fromkeys(ORDER, 0)

    def run(self) -> AuditReport:
        """Check the file's form, then block by block, then what no block accounts for."""
        self._check_form()
        parent = self._check_genesis()
        total = self._count("blocks")
        for number in range(1, total):
            parent = self._check_block(number, parent)
            self._progress(number + 1, total)
        self._check_totals()
        self._check_nodes()
        return AuditReport(
            blocks=total,
            transactions=self._seen["transactions"],
            events=self._seen["events"],
            nodes=len(self._nodes.values),
            head="0x" + parent.hash.hex(),
        )

    def _check_form(self) -> None:
        found = dict(
            self._db.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_auto%'")
        )
        marks = [
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        ]
        if found != TABLES or marks != [APPLICATION_ID, 1]:
            raise ChainDamaged("database", "its tables are not those of a Foedus chain")
        for (finding,) in self._db.execute("PRAGMA integrity_check(1)"):
            if finding != "ok":
                raise ChainDamaged("database", finding)

    def _check_genesis(self) -> BlockHeaderAPI:
        time = self._time_of(0)
        header = genesis_header(time)
        self._compare(0, genesis_rows(header))
        return header

    def _check_block(self, number: int, parent: BlockHeaderAPI) -> BlockHeaderAPI:
        self._nodes.block = number
        time = self._time_of(number)
        raws = [row[RAW] for row in self._stored("transactions", number)]
        if time < parent.timestamp:
            raise ChainDamaged(f"block {number}", "it is older than the block before")
        if not raws:
            raise ChainDamaged(f"block {number}", "its transactions are missing")
        try:
            builder = BlockBuilder(self._nodes, parent, time)
            block = builder.seal([decode_transaction(raw) for raw in raws])
        except Exception as error:  # whatever changed bytes do to decoders and to the EVM
            raise ChainDamaged(f"block {number}", f"it does not replay: {error}") from error
        if number == 1:
            self._find_contract(block)
        self._compare(number, block_rows(block, self._contract))
        return block.header

    def _find_contract(self, block: SealedBlock) -> None:
        deployment = block.transactions[0]
        is_ours = deployment.to == CREATE and deployment.data == self._bytecode
        if not is_ours or block.computations[0].is_error:
            raise ChainDamaged(
                "block 1",
                "its first transaction does not deploy this version of the Foedus contract",
                "If another version of Foedus made the chain, audit it with that.",
            )
        self._contract = contract_of(deployment)

    def _time_of(self, number: int) -> int:
        rows = self._stored("blocks", number)
        if not rows:
            raise ChainDamaged(f"block {number}", "it is missing")
        time = rows[0][TIME]
        if not isinstance(time, int) or not 0 <= time < 2**63:
            raise ChainDamaged(f"block {number}", "its time is not a time")
        return time

    def _stored(self, table: str, number: int) -> list[Row]:
        column = "number" if table == "blocks" else "block"
        query = f"SELECT * FROM {table} WHERE {column} = ? ORDER BY {ORDER[table]}"  # noqa: S608 — our own names
        return self._db.execute(query, (number,)).fetchall()

    def _compare(self, number: int, rows: Rows) -> None:
        for table, expected in rows:
            stored = self._stored(table, number)
            for index, (is_row, should_row) in enumerate(zip(stored, expected, strict=False)):
                if not _same(is_row, should_row):
                    raise ChainDamaged(
                        f"block {number}", f"row {index} of {table} is not what the block gives"
                    )
            if len(stored) != len(expected):
                raise ChainDamaged(
                    f"block {number}", f"{table} has {len(stored)} rows of it, not {len(expected)}"
                )
            self._seen[table] += len(stored)

    def _count(self, table: str) -> int:
        count: int = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 — our own names
        return count

    def _check_totals(self) -> None:
        for table, seen in self._seen.items():
            if self._count(table) != seen:
                raise ChainDamaged(table, f"{self._count(table) - seen} rows belong to no block")

    def _check_nodes(self) -> None:
        left = self._nodes.values
        count = 0
        for key, value in self._db.execute("SELECT hash, value FROM nodes ORDER BY hash"):
            expected = left.get(key)
            count += 1
            place = f"nodes row {key.hex() if isinstance(key, bytes) else key!r}"
            if expected is None:
                raise ChainDamaged(place, "it belongs to no block")
            if not _same((value,), (expected[0],)):
                raise ChainDamaged(place, f"it is not what block {expected[1]} gives")
        if count != len(left):
            stored = {key for (key,) in self._db.execute("SELECT hash FROM nodes")}
            key, (_, block) = next((key, made) for key, made in left.items() if key not in stored)
            raise ChainDamaged(f"nodes row {key.hex()}", f"it is missing; block {block} gives it")


def _same(stored: Row, expected: Row) -> bool:
    """Compare values and types: SQLite would take 1.0 or text where we wrote 1 or bytes."""
    return stored == expected and [type(v) for v in stored] == [type(v) for v in expected]

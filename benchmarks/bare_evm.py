"""The yardstick of `ledger`: py-evm alone, executing the same transactions on a state in memory."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from eth.abc import SignedTransactionAPI
from eth.consensus.noproof import NoProofConsensus
from eth.constants import BLANK_ROOT_HASH, GENESIS_PARENT_HASH
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.db.chain import ChainDB
from eth.rlp.headers import BlockHeader
from eth.vm.chain_context import ChainContext
from eth.vm.forks.berlin import BerlinVM
from eth_typing import BlockNumber

Stored = tuple[int, list[bytes]]  # time and raw transactions of one block


class _Vm(BerlinVM):
    consensus_class = NoProofConsensus


def stored_blocks(path: Path, since: int) -> list[Stored]:
    """Read time and raw transactions of the blocks from number `since` on out of a chain's file."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT number, time FROM blocks WHERE number >= ? ORDER BY number", (since,))
        query = "SELECT raw FROM transactions WHERE block = ? ORDER BY position"
        found = [(at, [row[0] for row in db.execute(query, (number,))]) for number, at in rows.fetchall()]
    db.close()
    return found


class BareChain:
    """Blocks of transactions on a state in a dictionary; no blocks, receipts or logs are kept."""

    def __init__(self, chain_id: int, gas_limit: int) -> None:
        self._db = ChainDB(AtomicDB(MemoryDB()))
        self._context = ChainContext(chain_id)
        self._gas_limit = gas_limit
        self.head = self._header(0, GENESIS_PARENT_HASH, BLANK_ROOT_HASH, 0)

    def execute(self, blocks: Sequence[Stored]) -> float:
        """Execute blocks and return the seconds that took; decoding the transactions does not count."""
        decode = _Vm.get_transaction_builder().decode
        decoded = [(at, [decode(raw) for raw in raws]) for at, raws in blocks]
        began = time.perf_counter()
        for at, transactions in decoded:
            self._execute_block(at, transactions)
        return time.perf_counter() - began

    def _execute_block(self, at: int, transactions: Sequence[SignedTransactionAPI]) -> None:
        parent = self.head
        header = self._header(parent.block_number + 1, parent.hash, parent.state_root, at)
        vm = _Vm(header, self._db, self._context, None)  # type: ignore[arg-type]  # it asks nobody
        filled, _, _ = vm.apply_all_transactions(transactions, header)
        vm.state.persist()
        self.head = filled.copy(state_root=vm.state.state_root)

    def _header(self, number: int, parent: bytes, state_root: bytes, at: int) -> BlockHeader:
        return BlockHeader(
            difficulty=1,
            block_number=BlockNumber(number),
            gas_limit=self._gas_limit,
            timestamp=at,
            parent_hash=parent,
            state_root=state_root,
        )

"""The embedded chain: a `Ledger` inside the process, on py-evm and one SQLite file. For one trust domain.

Importing this module loads the EVM (half a second); `foedus.chain` does so only on use.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import RLock

import rlp
from eth.abc import BlockHeaderAPI, SignedTransactionAPI
from eth.rlp.headers import BlockHeader
from eth_typing import Address
from rlp.exceptions import RLPException

from foedus.chain.abi import ContractAbi, revert_reason
from foedus.chain.files import OwnerLock, check_filesystem, sync_folder
from foedus.chain.keys import KeyRing
from foedus.chain.reader import ChainReader, Transaction, text_of
from foedus.chain.rows import Rows, block_rows, contract_of, genesis_rows
from foedus.chain.sqlite import NodeTable, connect
from foedus.chain.vm import (
    CALLS_PER_BLOCK,
    CREATE,
    BlockBuilder,
    SealedBlock,
    decode_transaction,
    genesis_header,
    sign_call,
)
from foedus.core.errors import ChainDamaged, InvalidSpec, Reverted
from foedus.core.ids import TxHash
from foedus.core.records import Block, Call, Event, Receipt, Value


class EmbeddedLedger:
    """A `Ledger` that seals its own blocks. One process at a time; threads may share it."""

    def __init__(
        self,
        path: Path,
        keys: KeyRing,
        clock: Callable[[], float] = time.time,
        admin: str = "site",
    ) -> None:
        """Open the chain, or create it and deploy the contract with the account `admin`.

        Raises `HomeInUse` when another process has it open; `InvalidSpec` on a network file system or when
        the chain carries another version of the contract; `ChainDamaged` when the file is not a chain.
        """
        check_filesystem(path)
        self._owner_lock = OwnerLock(path.with_name(path.name + ".lock"))
        self._lock = RLock()
        self._keys = keys
        self._clock = clock
        self._abi = ContractAbi.shipped()
        try:
            self._db = connect(path)
        except BaseException:
            self._owner_lock.release()
            raise
        try:
            self._nodes = NodeTable(self._db)
            self._reader = ChainReader(self._db, self._abi, self._lock)
            self._head = self._load_head() or self._create(path, admin)
            self._contract = self._find_contract()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.DatabaseError | RLPException):
                raise ChainDamaged("database", str(error)) from error
            raise

    @staticmethod
    def open_readonly(path: Path) -> ChainReader:
        """Open a chain's file for reading, also while another process writes to it."""
        return ChainReader.open(path)

    def close(self) -> None:
        """Close the file and let another process open it. Closing twice is harmless."""
        self._db.close()
        self._owner_lock.release()

    def send(self, calls: Sequence[Call]) -> list[Receipt]:
        """Seal the calls in order into one block (beyond 256 calls: several); see `Ledger.send`.

        Raises `InvalidSpec`, with nothing sent, when a call does not fit the contract's types.
        """
        with self._lock:
            encoded = [(call.sender, self._abi.encode_call(call.function, call.args)) for call in calls]
            receipts: list[Receipt] = []
            for start in range(0, len(encoded), CALLS_PER_BLOCK):
                receipts += self._send_block(encoded[start : start + CALLS_PER_BLOCK])
            return receipts

    def call(self, function: str, *args: Value) -> Value | tuple[Value, ...]:
        """Evaluate a view at the head, at the present time. Raises `Reverted` when the contract refuses."""
        with self._lock:
            data = self._abi.encode_call(function, args)
            result = self._next_block().view(bytes(20), self._contract, data)
            if result.is_error:
                raise Reverted(revert_reason(result.output))
            return self._abi.decode_output(function, result.output)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the contract's events in chain order, from block `since` (inclusive) to the head."""
        return self._reader.events(since)

    def head(self) -> Block:
        """Return the newest block."""
        return self._reader.head()

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield blocks `start` to `stop` (exclusive; None: to the head) in order."""
        return self._reader.blocks(start, stop)

    def transaction(self, tx: str) -> Transaction | None:
        """Return the transaction of this hash, decoded, or None."""
        return self._reader.transaction(tx)

    def address_of(self, account: str) -> str:
        """Return the checksummed address of the named account, creating its key on first use."""
        return self._keys.address_of(account)

    def _send_block(self, encoded: Sequence[tuple[str, bytes]]) -> list[Receipt]:
        builder = self._next_block()
        nonces: dict[str, int] = {}
        transactions: list[SignedTransactionAPI] = []
        for account, data in encoded:
            key = self._keys.private_key(account)
            if account not in nonces:
                nonces[account] = builder.state.get_nonce(Address(key.public_key.to_canonical_address()))
            transactions.append(sign_call(key, nonces[account], self._contract, data))
            nonces[account] += 1
        block, rows = self._seal(builder, transactions)
        self._nodes.commit(rows)
        self._head = block.header
        return self._receipts(rows)

    def _next_block(self) -> BlockBuilder:
        return BlockBuilder(self._nodes, self._head, int(self._clock()))

    def _seal(
        self, builder: BlockBuilder, transactions: Sequence[SignedTransactionAPI]
    ) -> tuple[SealedBlock, Rows]:
        try:
            block = builder.seal(transactions)
        except BaseException:
            self._nodes.discard()
            raise
        return block, block_rows(block, self._contract)

    def _receipts(self, rows: Rows) -> list[Receipt]:
        table = dict(rows)
        (_, _, block_time, _) = table["blocks"][0]
        receipts = []
        for number, position, tx, _, _, gas_used, error in table["transactions"]:
            events = tuple(
                self._reader.decode(number, index, topics, data, block_time, tx)
                for _, index, owner, topics, data in table["events"]
                if owner == position
            )
            receipts.append(Receipt(TxHash(text_of(tx)), number, block_time, gas_used, error, events))
        return receipts

    def _load_head(self) -> BlockHeaderAPI | None:
        row = self._db.execute("SELECT header FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else rlp.decode(row[0], BlockHeader)

    def _create(self, path: Path, admin: str) -> BlockHeaderAPI:
        self._head = genesis_header(int(self._clock()))
        deployment = sign_call(self._keys.private_key(admin), 0, CREATE, self._abi.bytecode)
        self._contract = contract_of(deployment)
        block, rows = self._seal(self._next_block(), [deployment])
        self._nodes.commit(genesis_rows(self._head) + rows)
        sync_folder(path.parent)
        return block.header

    def _find_contract(self) -> bytes:
        query = "SELECT raw FROM transactions WHERE block = 1 AND position = 0"
        row = self._db.execute(query).fetchone()
        try:
            deployment = decode_transaction(row[0])
            contract = contract_of(deployment)
        except Exception as error:  # whatever a missing row or changed bytes do to decoders
            raise ChainDamaged("block 1", f"its first transaction cannot be read: {error}") from error
        if (deployment.to, deployment.data) != (CREATE, self._abi.bytecode):
            raise InvalidSpec(
                "this chain carries another version of the Foedus contract",
                "Open it with the version of Foedus that made it, or start with a new home folder.",
            )
        return contract

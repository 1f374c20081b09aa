"""The embedded chain's rules on py-evm: Berlin without mining, fees and block rewards.

A block is a pure function of the state it builds on, its time and its transactions; `audit` relies on that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth.abc import BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.consensus.noproof import NoProofConsensus
from eth.constants import BLANK_ROOT_HASH, GENESIS_PARENT_HASH
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.db.chain import ChainDB
from eth.db.trie import make_trie_root_and_nodes
from eth.rlp.headers import BlockHeader
from eth.vm.chain_context import ChainContext
from eth.vm.forks.berlin import BerlinVM
from eth.vm.forks.berlin.transactions import BerlinLegacyTransaction, BerlinUnsignedLegacyTransaction
from eth_keys.datatypes import PrivateKey
from eth_typing import Address, BlockNumber, Hash32

from foedus.core.recursion import stay_shallow

stay_shallow()  # our contract calls no other contract

CHAIN_ID = 70_338
CREATE = b""
"""The receiver of a transaction that deploys its data."""
GAS_PER_CALL = 16_000_000  # below the 2**24 that newer networks allow per transaction
CALLS_PER_BLOCK = 256
BLOCK_GAS = GAS_PER_CALL * CALLS_PER_BLOCK


class Nodes(Protocol):
    """State nodes by hash. A node once put is never changed or deleted."""

    def get(self, key: bytes) -> bytes | None:
        """Return the node, or None."""

    def put(self, key: bytes, value: bytes) -> None:
        """Keep the node."""


class NodeDB(BaseDB):
    """`Nodes` in the form py-evm reads and writes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def __getitem__(self, key: bytes) -> bytes:
        value = self._nodes.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._nodes.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        raise NotImplementedError("nodes are kept for ever")

    def _exists(self, key: bytes) -> bool:
        return self._nodes.get(key) is not None


class FoedusVM(BerlinVM):
    """Berlin's instructions without proof of work."""

    fork = "foedus"
    consensus_class = NoProofConsensus


class OwnTransaction(BerlinLegacyTransaction):
    """A transaction this process has just signed: its signature need not be checked against itself.

    `audit` decodes transactions as the plain class, which recovers the sender and checks the signature.
    """

    def check_signature_validity(self) -> None:
        """Trust the signature made a moment ago."""


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A block as the rules make it."""

    header: BlockHeaderAPI
    transactions: tuple[SignedTransactionAPI, ...]
    receipts: tuple[ReceiptAPI, ...]
    computations: tuple[ComputationAPI, ...]


def genesis_header(timestamp: int) -> BlockHeaderAPI:
    """Return the header of the empty first block."""
    return BlockHeader(
        difficulty=1,
        block_number=BlockNumber(0),
        gas_limit=BLOCK_GAS,
        timestamp=timestamp,
        parent_hash=GENESIS_PARENT_HASH,
        state_root=BLANK_ROOT_HASH,
    )


def child_header(parent: BlockHeaderAPI, timestamp: int) -> BlockHeaderAPI:
    """Return the unfilled header of the next block. Successive blocks may have equal times, never smaller."""
    return BlockHeader(
        difficulty=1,
        block_number=BlockNumber(parent.block_number + 1),
        gas_limit=BLOCK_GAS,
        timestamp=max(timestamp, parent.timestamp),
        parent_hash=parent.hash,
        state_root=parent.state_root,
    )


def sign_call(key: PrivateKey, nonce: int, to: bytes, data: bytes) -> SignedTransactionAPI:
    """Sign a transaction without a price; an empty `to` deploys `data`."""
    unsigned = BerlinUnsignedLegacyTransaction(nonce, 0, GAS_PER_CALL, Address(to), 0, data)
    signed = unsigned.as_signed_transaction(key, chain_id=CHAIN_ID)
    own = OwnTransaction(*(getattr(signed, name) for name in signed._meta.field_names))
    own.sender = Address(key.public_key.to_canonical_address())
    return own


def decode_transaction(raw: bytes) -> SignedTransactionAPI:
    """Decode a stored transaction; its signature is checked when it is executed."""
    return FoedusVM.get_transaction_builder().decode(raw)


class BlockBuilder:
    """Builds one block on a parent: read the state it starts from, then `seal` once."""

    def __init__(self, nodes: Nodes, parent: BlockHeaderAPI, timestamp: int) -> None:
        self._header = child_header(parent, timestamp)
        self._vm = FoedusVM(self._header, ChainDB(AtomicDB(NodeDB(nodes))), ChainContext(CHAIN_ID), None)  # type: ignore[arg-type]

    @property
    def state(self) -> StateAPI:
        """The state that the block's first transaction sees."""
        return self._vm.state

    def view(self, sender: bytes, to: bytes, data: bytes) -> ComputationAPI:
        """Execute a call as the block's first transaction would, keeping nothing."""
        who = Address(sender)
        code = self.state.get_code(Address(to))
        return self._vm.execute_bytecode(who, 0, GAS_PER_CALL, Address(to), who, 0, data, code)

    def seal(self, transactions: Sequence[SignedTransactionAPI]) -> SealedBlock:
        """Execute the transactions in order, put the new state's nodes and return the block.

        Raises `ValidationError` for a transaction that may not be in a block, e.g. with a wrong signature.
        """
        header, receipts, computations = self._vm.apply_all_transactions(transactions, self._header)
        self.state.persist()
        filled = header.copy(
            state_root=self.state.state_root,
            transaction_root=_root(transactions),
            receipt_root=_root(receipts),
        )
        return SealedBlock(filled, tuple(transactions), receipts, computations)


def _root(items: Sequence[Any]) -> Hash32:
    root, _ = make_trie_root_and_nodes(items)
    return root

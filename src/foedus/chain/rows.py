"""A sealed block as rows of the chain's file: what the ledger writes, and what the audit expects to find."""

from typing import Any, TypeAlias

import rlp
from eth._utils.address import generate_contract_address
from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI
from eth.exceptions import OutOfGas, Revert

from foedus.chain.abi import revert_reason
from foedus.chain.vm import SealedBlock

Row: TypeAlias = tuple[Any, ...]  # integers, bytes, text or None, as the table's columns say
Rows: TypeAlias = list[tuple[str, list[Row]]]


def _error(computation: ComputationAPI) -> str | None:
    if computation.is_success:
        return None
    if isinstance(computation.error, Revert):
        return revert_reason(computation.output)
    if isinstance(computation.error, OutOfGas):
        return "out of gas"
    return f"the contract failed: {type(computation.error).__name__}"


def _block_row(header: BlockHeaderAPI) -> Row:
    return (header.block_number, header.hash, header.timestamp, rlp.encode(header))


def genesis_rows(header: BlockHeaderAPI) -> Rows:
    """Return the rows of the empty first block."""
    return [("blocks", [_block_row(header)])]


def contract_of(deployment: SignedTransactionAPI) -> bytes:
    """Return the address of what the transaction creates."""
    return generate_contract_address(deployment.sender, deployment.nonce)


def block_rows(block: SealedBlock, contract: bytes) -> Rows:
    """Return the block's rows by table, in the order of their keys.

    Only logs of `contract` are events: anybody may deploy code that logs whatever it likes.
    """
    number = block.header.block_number
    transactions: list[Row] = []
    events: list[Row] = []
    used_before = 0
    for position, (transaction, receipt, computation) in enumerate(
        zip(block.transactions, block.receipts, block.computations, strict=True)
    ):
        gas_used = receipt.gas_used - used_before
        used_before = receipt.gas_used
        transactions.append(
            (
                number,
                position,
                transaction.hash,
                transaction.sender,
                transaction.encode(),
                gas_used,
                _error(computation),
            )
        )
        for log in receipt.logs:
            if log.address != contract:
                continue
            topics = b"".join(topic.to_bytes(32, "big") for topic in log.topics)
            events.append((number, len(events), position, topics, log.data))
    return [
        ("blocks", [_block_row(block.header)]),
        ("transactions", transactions),
        ("events", events),
    ]

"""The chain: the Foedus contract, keys, the embedded ledger and its audit, and the reward's arithmetic.

The names that need the EVM are imported on first use, because that takes half a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from foedus.chain.reward import RewardBook, optimal_rate, reward, reward_wad, wrong_rewards

if TYPE_CHECKING:
    from foedus.chain.audit import AuditReport, audit_chain
    from foedus.chain.embedded import EmbeddedLedger
    from foedus.chain.keys import KeyRing
    from foedus.chain.reader import ChainReader, Transaction

_LAZY = {
    "AuditReport": "audit",
    "ChainReader": "reader",
    "EmbeddedLedger": "embedded",
    "KeyRing": "keys",
    "Transaction": "reader",
    "audit_chain": "audit",
}

__all__ = [
    "AuditReport",
    "ChainReader",
    "EmbeddedLedger",
    "KeyRing",
    "RewardBook",
    "Transaction",
    "audit_chain",
    "optimal_rate",
    "reward",
    "reward_wad",
    "wrong_rewards",
]


def __getattr__(name: str) -> object:
    """Import one of the lazy names."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)

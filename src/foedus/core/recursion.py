"""How deep Python may call itself, kept where deep input raises instead of killing the process."""

import sys
from typing import Final

DEEPEST: Final = 10_000


def stay_shallow() -> None:
    """Undo what libraries of Ethereum do when they are imported: raise the limit to 100,000.

    JSON nested that deep, which anybody may send, would overflow the stack. Call it after importing them.
    """
    sys.setrecursionlimit(min(sys.getrecursionlimit(), DEEPEST))

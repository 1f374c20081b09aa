"""Whoever does something on the platform: a signed-in person, a program with a token, or nobody."""

from dataclasses import dataclass
from typing import Final

from foedus.server.db import User

ALL_SCOPES: Final = ("read", "write", "admin")
"""What a token may be good for: looking, changing, administering. Each includes those before it."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `scopes` are those of the token, all of them in a browser; `session` is the browser's row."""

    user: User | None = None
    scopes: frozenset[str] = frozenset()
    session: int | None = None
    token: int | None = None
    address: str = ""

    @property
    def name(self) -> str:
        """The name for the audit log."""
        return self.user.name if self.user else "anybody"

    @property
    def user_id(self) -> int:
        """The signed-in person's id, -1 for nobody: it fits in queries."""
        return self.user.id if self.user else -1

    @property
    def is_admin(self) -> bool:
        """Whether this is a site administrator, acting with that power."""
        return self.user is not None and self.user.is_admin and "admin" in self.scopes


NOBODY: Final = Actor()

"""The outbox: every effect on the outside world is written down before it is done.

After a crash the entries that are not marked done tell what may have happened; each is then looked up where
it would have left its mark (the chain, the store, the job folder) before anything is done again. The marks
decide, never the outbox alone: losing it costs nothing but the record.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect: `key` is unique and made of run, round, step, client and kind."""

    key: str
    state: str  # planned | done | refused | found (done by an earlier process; seen where it left its mark)
    detail: str
    at: float


class Outbox:
    """The effects of one run, in an SQLite file beside its jobs."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # no fsync: the outbox needs to survive the death of the process, not a power cut (see above)
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS effects"
            " (key TEXT PRIMARY KEY, state TEXT NOT NULL, detail TEXT NOT NULL, at REAL NOT NULL)"
        )

    def plan(self, keys: Iterable[str]) -> None:
        """Write down effects that are about to be done; known ones return to `planned`."""
        self._set((key, "planned", "") for key in keys)

    def settle(self, key: str, state: str, detail: str = "") -> None:
        """Mark an effect as done, refused or found."""
        self._set([(key, state, detail)])

    def pending(self) -> list[Effect]:
        """Return the effects that were planned and not settled, oldest first."""
        rows = self._database.execute("SELECT * FROM effects WHERE state = 'planned' ORDER BY at, key")
        return [Effect(*row) for row in rows]

    def state(self, key: str) -> str | None:
        """Return the state of an effect, or None for an unknown one."""
        row = self._database.execute("SELECT state FROM effects WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _set(self, rows: Iterable[tuple[str, str, str]]) -> None:
        now = time.time()
        values = [(key, state, detail, now) for key, state, detail in rows]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?)", values)

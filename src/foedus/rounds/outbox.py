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
    state: str  # planned | done | refused | found (an earlier process did it: the chain shows it) | lost
    detail: str
    at: float


class Outbox:
    """The effects of one run, in an SQLite file beside its jobs."""

    def __init__(self, path: Path) -> None:
        self._database = _opened(path)

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

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _set(self, rows: Iterable[tuple[str, str, str]]) -> None:
        now = time.time()
        values = [(key, state, detail, now) for key, state, detail in rows]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?)", values)


def _opened(path: Path) -> sqlite3.Connection:
    """Open the file, anew when it is damaged."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # a full disk or missing rights: nothing is wrong with the file
        path.unlink()
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        # no fsync: the outbox needs to survive the death of the process, not a power cut (see above)
        database.execute("PRAGMA synchronous=OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS effects"
            " (key TEXT PRIMARY KEY, state TEXT NOT NULL, detail TEXT NOT NULL, at REAL NOT NULL)"
        )
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database

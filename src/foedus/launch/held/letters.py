"""The mailbox of a held allocation: two files on the shared file system, one for each direction.

Both only grow, a line a letter; no network and no lock is needed. Whoever reads opens the file anew each
time, and that is when NFS asks its server; a directory's names it may remember for a minute.

The owner writes a `TaskOrder`, `{"cancel": NAME}`, `{"stop": true}` (serve no more tasks), and notes for
itself that the worker reads as that: `{"over": CAUSE}` and `{"void": true}`. It answers `{"ready": true}`,
`{"begun": NAME}`, `{"ended": NAME, "cause": WORDS}`, `{"near_end": true}`, `{"leaving": REASON}`,
`{"too_long": NAME}` (it had all the time of an allocation) and, as its last act, `{"left": REASON}`. Both
touch their file now and then, as a sign of life. What a task made is in its own job folder alone.
docs/reference/job-folder.md describes the folder of an allocation for readers of other languages.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foedus.core.canonical import Json
from foedus.launch import _files
from foedus.launch._attempts import LAST_NUMBER
from foedus.launch.folder import EVENTS, JobFolder

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


class Letters:
    """One direction of a mailbox, for its only writer and its only reader."""

    def __init__(self, path: Path) -> None:
        self._folder = JobFolder(path)
        self._file = path / EVENTS
        self._read_bytes = 0
        self._touched_ns = -1

    def make(self) -> None:
        """Make the file durably, or mend the end of one whose writer was killed. Raises OSError."""
        self._folder.path.mkdir(mode=0o700, exist_ok=True)
        descriptor = _files.open_appending(self._folder.path, EVENTS)
        try:
            os.write(
                descriptor, b"\n"
            )  # after half a letter the next one would be lost; a blank line is none
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _files.sync(self._folder.path)

    def send(self, letter: Mapping[str, Json], durable: bool = False) -> None:
        """Append a letter. Raises OSError."""
        self._folder.emit(letter)
        if durable:
            descriptor = _files.open_appending(self._folder.path, EVENTS)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def new(self) -> list[Mapping[str, Json]]:
        """Return the letters that came since the last call; a file that cannot be read has none."""
        found: list[Mapping[str, Json]] = []
        while True:
            try:
                letters, offset = self._folder.read_events(self._read_bytes)
            except OSError:  # the file server does not answer; what is there comes with a later call
                return found
            found += letters
            if offset == self._read_bytes:
                return found
            self._read_bytes = offset

    def touch(self) -> None:
        """Give a sign of life. Raises OSError when the file is gone."""
        os.utime(self._file, follow_symlinks=False)

    def is_touched(self) -> bool:
        """Whether there was a sign of life since the last call. Times of two machines are never compared."""
        before = self._touched_ns
        with suppress(OSError):
            self._touched_ns = os.stat(self._file, follow_symlinks=False).st_mtime_ns
        return self._touched_ns != before


class Outbox:
    """What a worker says, in order: what the file system does not take now is sent later. Nothing raises."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._waiting: deque[Mapping[str, Json]] = deque()

    def send(self, letter: Mapping[str, Json]) -> None:
        """Send the letter, now or with a later `flush`."""
        self._waiting.append(letter)
        self.flush()

    def flush(self) -> bool:
        """Send what waits, and tell whether nothing waits any more."""
        with suppress(OSError):
            while self._waiting:
                self._letters.send(self._waiting[0])
                self._waiting.popleft()
        return not self._waiting

    def touch(self) -> bool:
        """Give a sign of life, and tell whether it could be given."""
        try:
            self._letters.touch()
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """One task for a worker: its name, which is unique for ever, its job folder, its attempts' number.

    `memory_mb` is 0 where there is no limit.
    """

    name: str
    folder: str
    number: int
    walltime_s: float
    memory_mb: int = 0

    def to_letter(self) -> Mapping[str, Json]:
        """Return it as a letter."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_letter(cls, letter: Mapping[str, Json]) -> "TaskOrder | None":
        """Return the order of a letter; None for any other letter, and for one with unfit values."""
        if set(letter) != set(cls.__slots__):
            return None
        name, folder, number, walltime_s, memory_mb = (letter[key] for key in cls.__slots__)
        if not isinstance(name, str) or not isinstance(folder, str):
            return None
        if type(number) is not int or type(memory_mb) is not int:
            return None
        if type(walltime_s) is not int and type(walltime_s) is not float:
            return None
        is_fit = (
            _NAME.fullmatch(name)
            and os.path.isabs(folder)
            and "\0" not in folder
            and 0 <= number <= LAST_NUMBER
            and 0 < walltime_s <= sys.float_info.max
            and memory_mb >= 0
        )
        return cls(name, folder, number, float(walltime_s), memory_mb) if is_fit else None

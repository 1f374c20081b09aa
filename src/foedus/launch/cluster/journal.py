"""What a launcher notes in the job folder before and after it talks to the scheduler (`batch.json`).

It is all that another process needs to go on with the batch job: nothing is submitted twice, and nothing that
was submitted is forgotten.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.launch import _files
from foedus.launch._attempts import LAST_NUMBER, attempt_order
from foedus.launch.folder import JobFolder

JOURNAL = "batch.json"
_LIMIT_BYTES = 64 << 10
_NAME_DIGITS = 24
_SCHEDULER_ID = re.compile(r"[A-Za-z0-9_.:/-]{0,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Journal:
    """One job's submissions to a scheduler.

    `name` is the job's name without the number. `number` counts our own submissions of it from 0, and
    `scheduler_id` is that of the last, empty until the scheduler told it. `adopted` names the attempt whose
    outcome counts. `is_cancelled`: it was, or is to be, stopped. `is_settled`: its end was told.
    `has_rivals`: an attempt other than the adopted one may be running, or about to, and is yet to be stopped.
    `retried` counts the submissions that made up for failures of the cluster, `continued` those that went on
    from a checkpoint.
    """

    key: str
    name: str
    number: int = 0
    scheduler_id: str = ""
    adopted: str = ""
    is_cancelled: bool = False
    is_settled: bool = False
    has_rivals: bool = False
    retried: int = 0
    continued: int = 0

    @property
    def full_name(self) -> str:
        """The name of the present submission, by which the scheduler is asked for it."""
        return f"{self.name}-{self.number}"

    @property
    def is_afresh(self) -> bool:
        """Whether the present submission neither makes up for another one nor goes on from it."""
        return not (self.retried or self.continued)

    def retry(self) -> "Journal":
        """Return the journal of the next submission, after a failure of the cluster."""
        return replace(self, number=self.number + 1, scheduler_id="", retried=self.retried + 1)

    def continuation(self) -> "Journal":
        """Return the journal of the next submission, which goes on from a checkpoint."""
        return replace(self, number=self.number + 1, scheduler_id="", continued=self.continued + 1)

    def afresh(self) -> "Journal":
        """Return the journal of a job that is done all over again; its numbers were never used before."""
        return Journal(self.key, self.name, self.number + 1)

    def write(self, folder: JobFolder) -> None:
        """Write it durably. Raises OSError."""
        values: dict[str, Json] = {name: getattr(self, name) for name in self.__slots__}
        _files.write_atomic(folder.path, JOURNAL, [canonical_json(values)])

    @classmethod
    def read(cls, folder: JobFolder) -> "Journal | None":
        """Return the folder's journal, None when there is none or it is damaged."""
        try:
            data = _files.read_capped(folder.path, JOURNAL, _LIMIT_BYTES)
            values = parse_canonical_json(data, _LIMIT_BYTES) if data is not None else None
        except ValueError:
            return None
        return _checked(values) if isinstance(values, Mapping) else None

    @classmethod
    def new(cls, folder: JobFolder, key: str) -> "Journal":
        """Return the journal of a job that was never submitted."""
        place = os.path.realpath(folder.path)  # whoever comes by another path finds the same batch job
        digest = hashlib.sha256(f"{place}\0{key}".encode(errors="surrogateescape")).hexdigest()
        return cls(key, f"foedus-{digest[:_NAME_DIGITS]}")

    @classmethod
    def first(cls, folder: JobFolder, key: str) -> "Journal":
        """Return the journal of a job that is to be submitted, other than attempts that are there already."""
        return replace(cls.new(folder, key), number=_newest_number(folder) + 1)

    @classmethod
    def known(cls, folder: JobFolder, key: str) -> "Journal | None":
        """Return the journal of just this job in this folder; None when it was never submitted.

        One that was damaged is made up from the attempts: its scheduler has to be asked for the job by name.
        """
        found, new = cls.read(folder), cls.new(folder, key)
        if found is not None:  # else somebody copied the folder, or it is used for another job
            return found if found.name == new.name else None
        if not os.path.lexists(folder.path / JOURNAL) or folder.read_note().get("key") != key:
            return None
        return replace(new, number=max(0, _newest_number(folder)))


def _newest_number(folder: JobFolder) -> int:
    """Return the number of the newest submission that attempts tell of, -1 without any."""
    orders = [attempt_order(attempt) for attempt in folder.attempts()[-1:]]
    return orders[0][0] if orders and orders[0] else -1


def _checked(values: Mapping[str, Json]) -> Journal | None:
    """Return the journal of these values; None unless each has its type and can be true."""
    fields = Journal.__dataclass_fields__
    if set(values) != set(fields):
        return None
    if any(type(values[name]) is not field.type for name, field in fields.items()):
        return None
    journal = Journal(**values)  # type: ignore[arg-type]  # just checked
    is_usable = (
        0 <= journal.number <= LAST_NUMBER
        and 0 <= journal.retried <= journal.number
        and 0 <= journal.continued <= journal.number
        and (not journal.adopted or attempt_order(journal.adopted) is not None)
        and _SCHEDULER_ID.fullmatch(journal.scheduler_id) is not None
    )
    return journal if is_usable else None

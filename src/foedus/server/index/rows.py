"""From what the chain says to what a table can hold. Anything may stand on a chain; nothing may fail here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from foedus.chain.reader import Transaction
from foedus.core.canonical import Json
from foedus.core.records import Block, Event, Value
from foedus.server.db import Base, ChainAnswer, ChainMember, ChainRun, ChainVote

Row = TypeVar("Row", bound=Base)

_LARGEST_KEY: Final = 2**31 - 1
_LARGEST: Final = 2**63 - 1
_REASON: Final = 1000
_ADDRESSES: Final = ("account", "client", "proposer", "voter", "lead")
_TOGETHER: Final[Mapping[type[Base], int]] = {ChainAnswer: 2, ChainVote: 2, ChainMember: 1}
"""Rows that are loaded together, those of a round or a project: so many parts of their key they share."""


def clean(value: object, length: int) -> str:
    """Return a text without control characters, cut to what its column holds."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))[:length]


def number(value: object) -> int:
    """Return an integer of the contract, at most as large as a column holds."""
    return max(-_LARGEST, min(int(str(value)), _LARGEST))


def plain_args(args: Mapping[str, Value]) -> dict[str, Json]:
    """Return arguments as JSON holds them."""
    return {name: _plain(value) for name, value in args.items()}


def _plain(value: Value) -> Json:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return clean(value, 1000) if isinstance(value, str) else value


@dataclass(slots=True)
class Rows:
    """The rows that a batch reads and writes, each loaded at most once.

    What was put is found here, so that rows are written at the end of a batch, many at once.
    """

    db: Session
    _known: dict[tuple[type[Base], Any], Base | None] = field(default_factory=dict)
    _groups: dict[tuple[type[Base], Any], dict[Any, Any]] = field(default_factory=dict)

    def get(self, kind: type[Row], key: Any) -> Row | None:  # noqa: ANN401 - one value, or a tuple of several
        """Return the row of this primary key, or None."""
        if kind in _TOGETHER:
            return self._group(kind, key[: _TOGETHER[kind]]).get(key)
        place = (kind, key)
        if place not in self._known:
            with self.db.no_autoflush:
                self._known[place] = self.db.get(kind, key)
        found = self._known[place]
        assert found is None or isinstance(found, kind)
        return found

    def all_of(self, kind: type[Row], *shared: int) -> list[Row]:
        """Return all rows of a round (answers, votes) or of a project (members)."""
        return list(self._group(kind, shared).values())

    def _group(self, kind: type[Row], shared: tuple[int, ...]) -> dict[Any, Row]:
        place = (kind, shared)
        if place not in self._groups:
            key = inspect(kind).primary_key
            theirs = [column == value for column, value in zip(key, shared, strict=False)]
            with self.db.no_autoflush:
                found = self.db.scalars(select(kind).where(*theirs)).all()
            self._groups[place] = {tuple(getattr(row, one.name) for one in key): row for row in found}
        return self._groups[place]

    def put(self, key: Any, row: Row) -> Row:  # noqa: ANN401 - as in `get`
        """Add a row, in the place of one with the same primary key."""
        kind = type(row)
        old = self.get(kind, key)
        if old is not None:
            self.db.delete(old)
            self.db.flush()
        self.db.add(row)
        if kind in _TOGETHER:
            self._group(kind, key[: _TOGETHER[kind]])[key] = row
        else:
            self._known[kind, key] = row
        return row

    def name_of(self, project: int, address: str) -> str:
        """Return what a member of a project is called."""
        member = self.get(ChainMember, (project, address))
        return member.name if member is not None else f"member-{address[2:26].lower()}"


def block_row(block: Block) -> dict[str, Any]:
    """Return a block as its table has it."""
    return {
        "number": block.number,
        "hash": block.hash,
        "parent": block.parent,
        "time": block.timestamp,
        "gas_used": number(block.gas_used),
        "state_root": block.state_root,
        "transactions": len(block.transactions),
    }


def event_row(event: Event, rows: Rows) -> dict[str, Any]:
    """Return an event as its table has it. Its run must be among the rows already."""
    run, project = _about(event.args, rows)
    address = next((str(event.args[key]) for key in _ADDRESSES if key in event.args), None)
    cid = next((str(event.args[key]) for key in ("cid", "version0", "current") if key in event.args), None)
    return {
        "block": event.block,
        "position": event.index,
        "tx": event.tx,
        "name": event.name,
        "args": plain_args(event.args),
        "run": run,
        "project": project,
        "address": address,
        "cid": clean(cid, 64) if cid else None,
        "time": event.block_time,
    }


def transaction_row(found: Transaction, position: int, rows: Rows) -> dict[str, Any]:
    """Return a transaction as its table has it: about the run that it names, or that it started."""
    receipt = found.receipt
    run, project = _about(_first_place(found.args, receipt.events), rows)
    return {
        "block": receipt.block,
        "position": position,
        "hash": receipt.tx,
        "sender": found.sender,
        "function": clean(found.function, 64),
        "args": plain_args(found.args),
        "run": run,
        "project": project,
        "gas_used": number(receipt.gas_used),
        "error": None if receipt.error is None else clean(receipt.error, _REASON),
        "time": receipt.block_time,
    }


def _first_place(args: Mapping[str, Value], events: Iterable[Event]) -> Mapping[str, Value]:
    for one in (*(event.args for event in events), args):
        if "run" in one or "project" in one:
            return one
    return {}


def _about(args: Mapping[str, Value], rows: Rows) -> tuple[int | None, int | None]:
    """Return run and project; neither for numbers that no run or project can have."""
    if "run" in args:
        key = _key(args["run"])
        run = None if key is None else rows.get(ChainRun, key)
        return (run.run, run.project) if run is not None else (None, None)
    return None, _key(args.get("project"))


def _key(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value <= _LARGEST_KEY else None

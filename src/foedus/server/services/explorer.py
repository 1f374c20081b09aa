"""The chain as people look at it. All projects share it: of others' blocks one sees how many transactions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.address import to_checksum_address
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import Role
from foedus.server.auth.actors import Actor
from foedus.server.db import (
    ChainBlock,
    ChainEvent,
    ChainHead,
    ChainMember,
    ChainRun,
    ChainTransaction,
    ChainVersion,
    Project,
)
from foedus.server.errors import Invalid, NotFound
from foedus.server.listing import fault_of_words
from foedus.server.services.explorer_lists import chain_projects, visible_events, visible_transactions
from foedus.site.chain_words import method_of, text_of, words_of

_HASH: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_HEIGHT: Final = re.compile(r"[0-9]{1,9}")
_CID: Final = re.compile(r"baf[a-z2-7-]{56}")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call or event. `words` says it for people, where the value alone does not."""

    name: str
    value: str
    words: str

    @property
    def href(self) -> str:
        """The page about it, for addresses."""
        return f"/chain/addresses/{self.value}" if _ADDRESS.fullmatch(self.value) else ""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event with its arguments in words."""

    row: ChainEvent
    args: Sequence[Argument]


@dataclass(frozen=True, slots=True)
class TransactionView:
    """A transaction as its page shows it."""

    row: ChainTransaction
    method: str
    sender_name: str
    confirmations: int
    args: Sequence[Argument]
    events: Sequence[EventView]


@dataclass(frozen=True, slots=True)
class AddressView:
    """As what an address is known in the actor's projects: project, name and role of each."""

    address: str
    name: str
    known: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class BlockView:
    """A block: its neighbours, and how many of its transactions others may not see."""

    row: ChainBlock
    previous: int | None
    next: int | None
    hidden: int


def find_block(db: Session, actor: Actor, number: str) -> BlockView:
    """Return a block by its height. Raises `NotFound`, saying where the chain's index ends."""
    head = head_of(db)
    row = db.get(ChainBlock, int(number)) if _HEIGHT.fullmatch(number) else None
    if row is None:
        raise NotFound(f"block {number[:20]}", f"The chain's head is {head}, as far as the index goes.")
    mine = visible_transactions(actor)
    seen = db.scalar(
        select(func.count()).select_from(ChainTransaction).where(ChainTransaction.block == row.number, mine)
    )
    before = row.number - 1 if row.number else None
    after = row.number + 1 if row.number < head else None
    return BlockView(row, before, after, row.transactions - (seen or 0))


def find_transaction(db: Session, actor: Actor, text: str) -> TransactionView:
    """Return a transaction by its hash. Raises `NotFound` for missing ones and those of others alike."""
    row = db.scalar(
        select(ChainTransaction).where(ChainTransaction.hash == _hash_of(text), visible_transactions(actor))
    )
    if row is None:
        raise NotFound("such transaction")
    events = db.scalars(
        select(ChainEvent)
        .where(ChainEvent.tx == row.hash, visible_events(actor))
        .order_by(ChainEvent.position)
    ).all()
    names = names_of(db, actor)
    return TransactionView(
        row,
        method_of(row.function, row.args),
        names.get(row.sender, ""),
        head_of(db) - row.block + 1,
        _arguments(row.args, names),
        [EventView(event, _arguments(event.args, names)) for event in events],
    )


def find_address(db: Session, actor: Actor, address: str) -> AddressView:
    """Return as what an address is known. Raises `NotFound` when the actor may see nothing of it."""
    if not _ADDRESS.fullmatch(address):
        raise NotFound("such address")
    address = to_checksum_address(address)
    found = db.execute(
        select(Project.slug, ChainMember.name, ChainMember.role)
        .join(Project, Project.chain_project == ChainMember.project)
        .where(ChainMember.address == address, ChainMember.project.in_(chain_projects(actor)))
        .order_by(Project.slug)
    ).all()
    sent = select(ChainTransaction.hash).where(
        ChainTransaction.sender == address, visible_transactions(actor)
    )
    named = select(ChainEvent.tx).where(ChainEvent.address == address, visible_events(actor))
    if not found and db.scalar(sent.limit(1)) is None and db.scalar(named.limit(1)) is None:
        raise NotFound("such address")
    known = [(slug, name, Role(role).name.lower()) for slug, name, role in found]
    return AddressView(address, found[0][1] if found else "", known)


def deployment(db: Session) -> ChainTransaction | None:
    """Return the transaction that deployed the contract; None while the index is empty."""
    return db.get(ChainTransaction, (1, 0))


def look_up(db: Session, actor: Actor, text: str) -> str | None:
    """Return the page of what was looked for: height, hash, address, CID or a member's name; None if none is.

    Raises `Invalid` for an overlong text.
    """
    wanted = text.strip()
    if fault := fault_of_words(wanted):
        raise Invalid({"q": fault})
    if _HEIGHT.fullmatch(wanted):
        return f"/chain/blocks/{int(wanted)}" if db.get(ChainBlock, int(wanted)) is not None else None
    if _HASH.fullmatch(wanted):
        return _page_of_hash(db, actor, _hash_of(wanted))
    if _ADDRESS.fullmatch(wanted):
        return _page_of_address(db, actor, func.lower(ChainMember.address) == wanted.lower())
    if _CID.fullmatch(wanted):
        return _page_of_cid(db, actor, wanted)
    return _page_of_address(db, actor, ChainMember.name == wanted.lower())


def head_of(db: Session) -> int:
    """Return the index's height, -1 for an empty one."""
    found = db.scalar(select(ChainHead.block))
    return -1 if found is None else found


def names_of(db: Session, actor: Actor) -> Mapping[str, str]:
    """Return what the members of the actor's projects are called, by address."""
    mine = ChainMember.project.in_(chain_projects(actor))
    query = select(ChainMember.address, ChainMember.name).where(mine).order_by(ChainMember.project)
    return {row.address: row.name for row in db.execute(query)}


def block_as_json(view: BlockView) -> dict[str, Json]:
    """Return a block as the API gives it."""
    row = view.row
    return {
        "number": row.number,
        "hash": row.hash,
        "parent": row.parent,
        "time": row.time,
        "gas_used": row.gas_used,
        "state_root": row.state_root,
        "transactions": row.transactions,
        "hidden": view.hidden,
    }


def transaction_as_json(view: TransactionView) -> dict[str, Json]:
    """Return a transaction as the API gives it."""
    row = view.row
    events: list[Json] = [{"name": one.row.name, "args": one.row.args} for one in view.events]
    return {
        "hash": row.hash,
        "block": row.block,
        "position": row.position,
        "time": row.time,
        "sender": row.sender,
        "sender_name": view.sender_name,
        "method": view.method,
        "function": row.function,
        "args": row.args,
        "run": row.run,
        "gas_used": row.gas_used,
        "error": row.error,
        "confirmations": view.confirmations,
        "events": events,
    }


def _arguments(args: Mapping[str, Any], names: Mapping[str, str]) -> list[Argument]:
    return [
        Argument(key, text_of(value), names.get(text_of(value)) or words_of(key, value))
        for key, value in args.items()
    ]


def _hash_of(text: str) -> str:
    return "0x" + text[:70].removeprefix("0x").lower()


def _page_of_hash(db: Session, actor: Actor, text: str) -> str | None:
    block = db.scalar(select(ChainBlock.number).where(ChainBlock.hash == text))
    if block is not None:
        return f"/chain/blocks/{block}"
    mine = visible_transactions(actor)
    found = db.scalar(select(ChainTransaction.hash).where(ChainTransaction.hash == text, mine))
    return None if found is None else f"/chain/transactions/{found}"


def _page_of_address(db: Session, actor: Actor, condition: ColumnElement[bool]) -> str | None:
    mine = ChainMember.project.in_(chain_projects(actor))
    found = db.scalar(select(func.min(ChainMember.address)).where(condition, mine))
    return None if found is None else f"/chain/addresses/{found}"


def _page_of_cid(db: Session, actor: Actor, cid: str) -> str | None:
    mine = chain_projects(actor)
    runs = select(ChainRun.run).where(ChainRun.project.in_(mine))
    is_version = select(ChainVersion.cid).where(ChainVersion.cid == cid, ChainVersion.run.in_(runs))
    if db.scalar(is_version.limit(1)) is not None:
        return f"/models/{cid}"
    named = select(ChainEvent.tx).where(ChainEvent.cid == cid, visible_events(actor))
    return None if db.scalar(named.limit(1)) is None else f"/chain/events?q={cid}"

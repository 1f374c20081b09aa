"""Lists of the chain, and what of it one may see: all of one's own projects, of others nothing."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, SQLColumnExpression, case, cast, func, or_, select

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import ChainBlock, ChainEvent, ChainMember, ChainTransaction, Project, Run
from foedus.server.listing import Column, Filter, Listing

FUNCTIONS: Final = (
    "register",
    "decline",
    "propose",
    "vote",
    "close",
    "finalize",
    "start_run",
    "cancel_run",
    "create_project",
    "set_member",
)
EVENTS: Final = (
    "RunStarted",
    "RoundOpened",
    "Registered",
    "Declined",
    "StepClosed",
    "Proposed",
    "Voted",
    "Finalized",
    "RewardPaid",
    "GateEased",
    "Alarm",
    "RunEnded",
    "ProjectCreated",
    "MemberSet",
)
_PUBLIC_CALLS: Final = ("", "set_validators")  # they belong to no project
_PUBLIC_EVENTS: Final = ("ValidatorsSet",)
_MANY: Final = 100_000  # transactions of a block, at most: orders them within the chain


def chain_projects(actor: Actor) -> Select[Any]:
    """Return a query for the chain's numbers of the projects that the actor may see."""
    return select(Project.chain_project).where(
        Project.id.in_(visible_projects(actor)), Project.chain_project.is_not(None)
    )


def _in_order(project: SQLColumnExpression[Any]) -> SQLColumnExpression[Any]:
    """Hide a column from its index: walking the chain from its end beats sorting all that is visible."""
    return project + 0


def visible_transactions(actor: Actor) -> ColumnElement[bool]:
    """Return the condition under which the actor may see a transaction."""
    return or_(
        _in_order(ChainTransaction.project).in_(chain_projects(actor)),
        ChainTransaction.project.is_(None) & ChainTransaction.function.in_(_PUBLIC_CALLS),
    )


def visible_events(actor: Actor) -> ColumnElement[bool]:
    """Return the condition under which the actor may see an event."""
    return or_(
        _in_order(ChainEvent.project).in_(chain_projects(actor)),
        ChainEvent.project.is_(None) & ChainEvent.name.in_(_PUBLIC_EVENTS),
    )


def block_listing() -> Listing:
    """Return the list of blocks, which everybody may see."""
    return Listing(
        "Blocks",
        (
            Column("number", "Block", ChainBlock.number, link="/chain/blocks/{number}"),
            Column("time", "Age", ChainBlock.time, "time"),
            Column("hash", "Hash", ChainBlock.hash, "id"),
            Column("transactions", "Transactions", ChainBlock.transactions, "number"),
            Column("gas_used", "Gas", ChainBlock.gas_used, "number"),
        ),
        select().select_from(ChainBlock),
        ChainBlock.number,
        "-number",
        empty="No block yet. The first run of the platform makes the chain.",
    )


def transaction_listing(
    actor: Actor, block: int | None = None, sender: str | None = None, run: int | None = None
) -> Listing:
    """Return the list of transactions that the actor may see: all, of a block, a sender, or a run."""
    rows = select().select_from(ChainTransaction).where(visible_transactions(actor))
    if block is not None:
        rows = rows.where(ChainTransaction.block == block)
    if sender is not None:
        rows = rows.where(ChainTransaction.sender == sender)
    if run is not None:
        rows = rows.where(ChainTransaction.run == run)
    state = case((ChainTransaction.error.is_(None), "done"), else_="failed")
    place = cast(ChainTransaction.block, BigInteger) * _MANY + ChainTransaction.position
    return Listing(
        "Transactions",
        (
            Column("hash", "Transaction", ChainTransaction.hash, "id", "/chain/transactions/{hash}"),
            Column("state", "State", state, "state"),
            Column("function", "Method", ChainTransaction.function),
            Column(
                "sender_name",
                "From",
                _name_of(ChainTransaction.sender, actor),
                link="/chain/addresses/{sender}",
            ),
            Column("sender", "Address", ChainTransaction.sender, "id", is_hidden=True),
            Column("run_name", "Run", _name_of_run(ChainTransaction.run), link="/runs/{run_name}"),
            Column("run", "Number of the run", ChainTransaction.run, is_hidden=True),
            Column("block", "Block", ChainTransaction.block, link="/chain/blocks/{block}"),
            Column("time", "Age", ChainTransaction.time, "time"),
            Column("gas_used", "Gas", ChainTransaction.gas_used, "number"),
        ),
        rows,
        place,
        "-block",
        empty="No transactions yet. Runs of your projects send them.",
        search=(ChainTransaction.hash, ChainTransaction.function, ChainTransaction.sender),
        filters=(
            Filter("function", "Method", ChainTransaction.function, FUNCTIONS),
            Filter("state", "State", state, ("done", "failed")),
        ),
    )


def event_listing(actor: Actor, address: str | None = None) -> Listing:
    """Return the list of events that the actor may see: all, or about an address."""
    rows = select().select_from(ChainEvent).where(visible_events(actor))
    if address is not None:
        rows = rows.where(ChainEvent.address == address)
    place = cast(ChainEvent.block, BigInteger) * _MANY + ChainEvent.position
    return Listing(
        "Events",
        (
            Column("name", "Event", ChainEvent.name, link="/chain/transactions/{tx}"),
            Column("run_name", "Run", _name_of_run(ChainEvent.run), link="/runs/{run_name}"),
            Column("run", "Number of the run", ChainEvent.run, is_hidden=True),
            Column(
                "member", "Member", _name_of(ChainEvent.address, actor), link="/chain/addresses/{address}"
            ),
            Column("address", "Address", ChainEvent.address, "id", is_hidden=True),
            Column("cid", "CID", ChainEvent.cid, "id"),
            Column("block", "Block", ChainEvent.block, link="/chain/blocks/{block}"),
            Column("time", "Age", ChainEvent.time, "time"),
            Column("tx", "Transaction", ChainEvent.tx, "id", "/chain/transactions/{tx}"),
        ),
        rows,
        place,
        "-block",
        empty="No events yet. Runs of your projects cause them.",
        search=(ChainEvent.name, ChainEvent.cid, ChainEvent.address),
        filters=(Filter("name", "Event", ChainEvent.name, EVENTS),),
    )


def _name_of(address: SQLColumnExpression[Any], actor: Actor) -> SQLColumnExpression[Any]:
    """Return a member's name in the projects that the actor may see; else its address."""
    names = select(func.min(ChainMember.name)).where(
        ChainMember.address == address, ChainMember.project.in_(chain_projects(actor))
    )
    return func.coalesce(names.correlate(ChainTransaction, ChainEvent).scalar_subquery(), address)


def _name_of_run(number: SQLColumnExpression[Any]) -> SQLColumnExpression[Any]:
    """Return the platform's name of a run; a run that others drive has none here."""
    names = select(Run.name).where(Run.chain_run == number)
    return names.correlate(ChainTransaction, ChainEvent).scalar_subquery()

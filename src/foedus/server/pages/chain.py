"""Pages of the chain: blocks, transactions, events, addresses, the contract."""

import json
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from foedus.server.errors import Unavailable
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.index import index_state, open_chain
from foedus.server.listing import Query as ListQuery
from foedus.server.listing import find
from foedus.server.pages.render import list_page, page, see
from foedus.server.platform import Platform
from foedus.server.services import explorer
from foedus.server.services.explorer_lists import block_listing, event_listing, transaction_listing

router = APIRouter(prefix="/chain")

Words = Annotated[str, Query(max_length=1000)]


@router.get("")
def index(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, q: Words = "") -> Response:
    """Show the newest blocks and transactions, or go to what was looked for."""
    place = explorer.look_up(db, actor, q) if q.strip() else None
    if place is not None:
        return see(place)
    blocks, transactions = block_listing(), transaction_listing(actor)
    return page(
        request,
        "chain/index.html",
        blocks=find(db, blocks, ListQuery.of({"size": "10"}, blocks)),
        transactions=find(db, transactions, ListQuery.of({"size": "10"}, transactions)),
        state=index_state(platform, db),
        words=q.strip(),
    )


@router.get("/blocks")
def blocks(request: Request, db: Db, actor: ActorDep) -> Response:
    """List all blocks."""
    return list_page(request, db, block_listing(), "chain/list.html")


@router.get("/transactions")
def transactions(request: Request, db: Db, actor: ActorDep) -> Response:
    """List the transactions that one may see."""
    return list_page(request, db, transaction_listing(actor), "chain/list.html")


@router.get("/events")
def events(request: Request, db: Db, actor: ActorDep) -> Response:
    """List the events that one may see."""
    return list_page(request, db, event_listing(actor), "chain/list.html")


@router.get("/contract")
def contract(request: Request, actor: ActorDep, db: Db, platform: PlatformDep) -> Response:
    """Show the contract: its address, its sources by hash, its functions and events."""
    artefact = json.loads(files("foedus.chain.contract").joinpath("Foedus.json").read_bytes())
    return page(
        request,
        "chain/contract.html",
        address=_contract_address(platform),
        compiler=artefact["compiler"],
        source_sha256=artefact["source_sha256"],
        code_sha256=sha256(bytes.fromhex(artefact["bytecode"][2:])).hexdigest(),
        functions=[_signature(one) for one in artefact["abi"] if one["type"] == "function"],
        events=[_signature(one) for one in artefact["abi"] if one["type"] == "event"],
        deployment=explorer.deployment(db),
        abi=json.dumps(artefact["abi"], indent=1),
    )


@router.get("/blocks/{number}")
def block(request: Request, db: Db, actor: ActorDep, number: str) -> Response:
    """Show a block and those of its transactions that one may see."""
    view = explorer.find_block(db, actor, number)
    listing = transaction_listing(actor, block=view.row.number)
    return list_page(request, db, listing, "chain/block.html", view=view)


@router.get("/transactions/{tx}")
def transaction(request: Request, db: Db, actor: ActorDep, tx: str) -> Response:
    """Show a transaction with its events."""
    view = explorer.find_transaction(db, actor, tx)
    raw = json.dumps(explorer.transaction_as_json(view), indent=1)
    return page(request, "chain/transaction.html", view=view, raw=raw)


@router.get("/addresses/{address}")
def address(request: Request, db: Db, actor: ActorDep, address: str) -> Response:
    """Show as what an address is known, and what it sent."""
    view = explorer.find_address(db, actor, address)
    listing = transaction_listing(actor, sender=view.address)
    about = event_listing(actor, view.address)
    found = find(db, about, ListQuery.of({"size": "25"}, about))
    return list_page(request, db, listing, "chain/address.html", view=view, events=found)


def _contract_address(platform: Platform) -> str:
    """Return where the contract is; empty while the chain cannot be read."""
    try:
        with open_chain(platform) as reader:
            return reader.contract()
    except Unavailable:
        return ""


def _signature(entry: Any) -> tuple[str, str]:  # noqa: ANN401 - an entry of the ABI, as JSON
    """Return name and typed parameters of a function or event."""
    inputs = (
        f"{one['type']}{' indexed' if one.get('indexed') else ''} {one['name']}" for one in entry["inputs"]
    )
    outputs = ", ".join(one["type"] for one in entry.get("outputs", ()))
    return entry["name"], f"({', '.join(inputs)})" + (f" → {outputs}" if outputs else "")

"""The chain by the API."""

from typing import Any

from fastapi import APIRouter, Request

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.index import index_state
from foedus.server.services import explorer
from foedus.server.services.explorer_lists import block_listing, event_listing, transaction_listing

router = APIRouter(prefix="/chain", tags=["chain"])


@router.get("")
def state(db: Db, actor: ActorDep, platform: PlatformDep) -> dict[str, Any]:
    """Say how far the index and the chain go."""
    found = index_state(platform, db)
    return {
        "indexed": found.indexed,
        "chain": found.chain,
        "is_behind": found.is_behind,
        "problem": found.problem,
    }


@router.get("/blocks")
def blocks(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List blocks."""
    return list_json(request, db, block_listing())


@router.get("/transactions")
def transactions(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the transactions of your projects."""
    return list_json(request, db, transaction_listing(actor))


@router.get("/events")
def events(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the events of your projects."""
    return list_json(request, db, event_listing(actor))


@router.get("/blocks/{number}")
def block(db: Db, actor: ActorDep, number: str) -> dict[str, Any]:
    """Return a block; `hidden` counts transactions of projects that you do not belong to."""
    return explorer.block_as_json(explorer.find_block(db, actor, number))


@router.get("/transactions/{tx}")
def transaction(db: Db, actor: ActorDep, tx: str) -> dict[str, Any]:
    """Return a transaction with its events."""
    return explorer.transaction_as_json(explorer.find_transaction(db, actor, tx))

"""The search by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from foedus.server.http import ActorDep, Db
from foedus.server.services import search

router = APIRouter(prefix="/search", tags=["search"])


@router.get("")
def index(db: Db, actor: ActorDep, q: Annotated[str, Query(max_length=1000)] = "") -> dict[str, Any]:
    """Find projects, runs, datasets, models, members and places on the chain, as far as you may see them."""
    return search.as_json(search.search(db, actor, q))

"""The page of the search box."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from foedus.server.http import ActorDep, Db
from foedus.server.pages.render import page
from foedus.server.services import search

router = APIRouter()


@router.get("/search")
def index(
    request: Request, db: Db, actor: ActorDep, q: Annotated[str, Query(max_length=1000)] = ""
) -> Response:
    """Show what was found, by kind."""
    hits = search.search(db, actor, q)
    return page(
        request, "search/index.html", words=q.strip(), hits=hits, kinds=search.KINDS, most=search.MOST
    )

"""Pages of a run's numbers."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foedus.server.http import ActorDep, Db
from foedus.server.pages.render import list_page
from foedus.server.services import numbers, runs

router = APIRouter()


@router.get("/runs/{name}/numbers")
def numbers_of(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """List the numbers of a run, also as CSV and JSON."""
    run = runs.find_run(db, actor, name)
    return list_page(request, db, numbers.number_listing(run), "runs/numbers.html", run=run)

"""The start page."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foedus.server.http import ActorDep, PlatformDep
from foedus.server.pages.render import page
from foedus.server.services.home import gather

router = APIRouter()


@router.get("/")
def start(request: Request, platform: PlatformDep, actor: ActorDep) -> Response:
    """Show what goes on and what waits for me."""
    return page(request, "home.html", home=gather(platform, actor))

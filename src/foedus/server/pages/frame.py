"""What belongs to all pages: the choice between light and dark."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from foedus.server.pages.render import see

router = APIRouter()

_A_YEAR_S = 365 * 86_400


@router.post("/theme")
def choose_theme(
    request: Request,
    theme: Annotated[str, Form(max_length=20)] = "system",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Remember light or dark in this browser; anything else means what the system prefers."""
    answer = see(local_path(next))
    if theme in ("light", "dark"):
        is_https = request.url.scheme == "https"
        answer.set_cookie("theme", theme, _A_YEAR_S, secure=is_https, httponly=True, samesite="lax")
    else:
        answer.delete_cookie("theme")
    return answer


@router.get("/favicon.ico")
def icon() -> Response:
    """Show browsers that look for it by itself, as beside JSON, where the icon is."""
    return RedirectResponse("/static/icon.svg", 301)


def local_path(text: str) -> str:
    """Return the address if it is one of ours, without a host; else that of the start page."""
    if not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return "/"
    return text

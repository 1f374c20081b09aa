"""Pages of administration."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.errors import Conflict, HttpError, Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.platform import Platform
from foedus.server.services import administered_users, administration, announcements

router = APIRouter(prefix="/admin")

Text = Annotated[str, Form(max_length=10_000)]
Names = Annotated[list[str], Form(max_length=200)]


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """Show what needs an administrator's eye."""
    return _index(request, db, actor)


@router.get("/users")
def users(request: Request, db: Db, actor: ActorDep) -> Response:
    """List all accounts."""
    return list_page(request, db, administered_users.user_listing(db, actor), "admin/list.html")


@router.post("/users/approve")
def approve(request: Request, db: Db, actor: ActorDep, name: Names = []) -> Response:  # noqa: B006 - copied
    """Let accounts that wait be used."""
    try:
        administered_users.approve_users(db, actor, name)
    except Invalid as error:
        return _index(request, db, actor, error)
    return see("/admin", Notice.ACCOUNTS_APPROVED)


@router.get("/users/{name}")
def user(request: Request, db: Db, actor: ActorDep, name: str) -> Response:
    """Show one account."""
    return _user_page(request, db, actor, name)


@router.post("/users/{name}/state")
def set_state(
    request: Request, db: Db, actor: ActorDep, name: str, state: Text = "", confirm: Text = ""
) -> Response:
    """Enable or disable an account."""

    def change() -> None:
        administered_users.set_state(db, actor, name, _chosen(state, "active", "disabled"), confirm)

    return _done(request, db, actor, name, change)


@router.post("/users/{name}/admin")
def set_admin(
    request: Request, db: Db, actor: ActorDep, name: str, admin: Text = "", confirm: Text = ""
) -> Response:
    """Make somebody an administrator, or no longer one."""

    def change() -> None:
        administered_users.set_admin(db, actor, name, _chosen(admin, "yes", "no"), confirm)

    return _done(request, db, actor, name, change)


@router.post("/users/{name}/password")
def one_time_password(
    request: Request, platform: PlatformDep, actor: ActorDep, name: str, confirm: Text = ""
) -> Response:
    """Make a password for one sign-in and show it, for once."""
    try:
        password = administered_users.one_time_password(platform, actor, name, confirm)
    except Invalid as error:
        with platform.reading() as db:
            return _user_page(request, db, actor, name, error)
    return page(request, "admin/password.html", 201, name=name, password=password)


@router.get("/announcements")
def show_announcements(request: Request, db: Db, actor: ActorDep) -> Response:
    """Show all announcements, and the form for a new one."""
    return _announcements_page(request, db, actor)


@router.post("/announcements")
def announce(
    request: Request,
    db: Db,
    platform: PlatformDep,
    actor: ActorDep,
    text: Text = "",
    level: Text = "info",
    days: Text = "",
) -> Response:
    """Tell everybody something."""
    days = days.strip()
    try:
        if days and not (days.isascii() and days.isdigit() and len(days) < 8):
            raise Invalid({"days": "must be a number"})
        announcements.announce(db, actor, platform.now(), text, level, int(days) if days else None)
    except Invalid as error:
        form = {"text": text, "level": level, "days": days}
        return _announcements_page(request, db, actor, form, error)
    return see("/admin/announcements", Notice.ANNOUNCED)


@router.post("/announcements/{announcement}/withdraw")
def withdraw_announcement(db: Db, actor: ActorDep, announcement: int) -> Response:
    """Take an announcement back."""
    announcements.withdraw_announcement(db, actor, announcement)
    return see("/admin/announcements", Notice.ANNOUNCEMENT_WITHDRAWN)


@router.get("/audit")
def audit(request: Request, db: Db, actor: ActorDep) -> Response:
    """Show who did what."""
    return list_page(request, db, administration.audit_listing(db, actor), "admin/list.html")


@router.get("/workers")
def workers(request: Request, db: Db, platform: PlatformDep, actor: ActorDep) -> Response:
    """Show workers, and what they have claimed."""
    return _workers_page(request, db, platform, actor)


@router.post("/leases/release")
def release(
    request: Request,
    db: Db,
    platform: PlatformDep,
    actor: ActorDep,
    row: Annotated[int, Form(ge=0, le=2**31 - 1)],
    kind: Text = "",
    confirm: Text = "",
) -> Response:
    """Take a claim from its worker."""
    try:
        administration.release(db, actor, kind, row, confirm)
    except Invalid as error:
        return _workers_page(request, db, platform, actor, error)
    return see("/admin/workers", Notice.LEASE_RELEASED)


@router.get("/settings")
def settings(request: Request, db: Db, platform: PlatformDep, actor: ActorDep) -> Response:
    """Show the settings in force, and where each was said."""
    found = administration.settings_in_force(db, actor, platform)
    return page(request, "admin/settings.html", settings=found)


@router.post("/rate-counts/forget")
def forget_rate_counts(db: Db, platform: PlatformDep, actor: ActorDep, name: Text = "") -> Response:
    """Forget old counts of tries, or those of one account."""
    administration.forget_rate_counts(db, actor, platform.now(), name[:64])
    return see("/admin", Notice.COUNTS_FORGOTTEN)


def _chosen(text: str, yes: str, no: str) -> bool:
    if text not in (yes, no):
        raise Invalid({"confirm": f"choose {yes} or {no}"})
    return text == yes


def _done(request: Request, db: Session, actor: Actor, name: str, change: Callable[[], object]) -> Response:
    """Change an account, and show it again with what is wrong if that does not work."""
    try:
        change()
    except (Invalid, Conflict) as error:
        return _user_page(request, db, actor, name, error)
    return see(f"/admin/users/{name}", Notice.ACCOUNT_CHANGED)


def _index(request: Request, db: Session, actor: Actor, error: HttpError | None = None) -> Response:
    return _shown(request, "admin/index.html", error, overview=administration.overview(db, actor))


def _user_page(
    request: Request, db: Session, actor: Actor, name: str, error: HttpError | None = None
) -> Response:
    user = administered_users.find_user(db, actor, name)
    return _shown(request, "admin/user.html", error, user=user)


def _announcements_page(
    request: Request,
    db: Session,
    actor: Actor,
    form: dict[str, str] | None = None,
    error: HttpError | None = None,
) -> Response:
    found = announcements.announcements(db, actor)
    values = {"levels": announcements.LEVELS, "form": form or {"days": "7"}}
    return _shown(request, "admin/announcements.html", error, announcements=found, **values)


def _workers_page(
    request: Request, db: Session, platform: Platform, actor: Actor, error: HttpError | None = None
) -> Response:
    found = {"workers": administration.workers(db, actor), "leases": administration.leases(db, actor)}
    return _shown(request, "admin/workers.html", error, now=platform.now(), **found)


def _shown(
    request: Request,
    template: str,
    error: HttpError | None,
    **values: Any,  # noqa: ANN401 - whatever the template shows
) -> Response:
    """Show a page, with what was wrong with the form that it came from."""
    faults = error.fields if isinstance(error, Invalid) else {}
    return page(request, template, error.status if error else 200, faults=faults, error=error, **values)

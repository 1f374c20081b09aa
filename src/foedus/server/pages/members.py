"""Pages of a project's members, and of the links by which people join."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.db import Project
from foedus.server.errors import Conflict, Denied, HttpError, Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.listing import Query, find
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.platform import Platform
from foedus.server.services import invitations, members
from foedus.server.services.projects import find_project

router = APIRouter()

Text = Annotated[str, Form(max_length=2_000)]
Names = Annotated[list[str], Form(max_length=members.MOST_AT_ONCE)]


@router.get("/projects/{slug}/members")
def index(request: Request, db: Db, platform: PlatformDep, actor: ActorDep, slug: str) -> Response:
    """List the members, with those who ask to be let in on top."""
    project = find_project(db, actor, slug)
    values = _values(db, platform, actor, project)
    return list_page(request, db, members.member_listing(project), "members/index.html", **values)


@router.post("/projects/{slug}/members")
def add(
    request: Request,
    db: Db,
    platform: PlatformDep,
    actor: ActorDep,
    slug: str,
    name: Text = "",
    role: Text = "",
) -> Response:
    """Invite somebody by user name."""
    try:
        members.add_member(db, actor, slug, name, role)
    except Invalid as error:
        form = {"name": name, "role": role}
        return _index_again(request, db, platform, actor, slug, error, form)
    return see(f"/projects/{slug}/members", Notice.INVITED)


@router.post("/projects/{slug}/members/decide")
def decide(
    request: Request,
    db: Db,
    platform: PlatformDep,
    actor: ActorDep,
    slug: str,
    name: Names = [],  # noqa: B006 - FastAPI copies it
    decision: Text = "",
) -> Response:
    """Let people in, or not."""
    try:
        if decision not in ("approve", "deny"):
            raise Invalid({"decision": "must be approve or deny"})
        members.decide(db, actor, slug, name, decision == "approve")
    except Invalid as error:
        return _index_again(request, db, platform, actor, slug, error, {})
    notice = Notice.LET_IN if decision == "approve" else Notice.TURNED_AWAY
    return see(f"/projects/{slug}/members", notice)


@router.post("/projects/{slug}/members/leave")
def leave(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """Leave the project."""
    try:
        members.leave(db, actor, slug)
    except Conflict as error:
        return _member_page(request, db, actor, slug, actor.name, error)
    return see("/projects", Notice.LEFT)


@router.post("/projects/{slug}/members/invitations")
def invite(
    request: Request,
    db: Db,
    platform: PlatformDep,
    actor: ActorDep,
    slug: str,
    role: Text = "",
    days: Text = "7",
    uses: Text = "1",
    note: Text = "",
    needs_approval: Text = "",
) -> Response:
    """Make a link and show it, for once."""
    try:
        row, secret = invitations.create_invitation(
            db,
            actor,
            slug,
            platform.now(),
            role,
            _number("days", days),
            _number("uses", uses),
            note,
            bool(needs_approval),
        )
    except Invalid as error:
        form = {"role": role, "days": days, "uses": uses, "note": note, "needs_approval": needs_approval}
        return _index_again(request, db, platform, actor, slug, error, form)
    link = join_link(request, platform, secret)
    return page(request, "members/link.html", 201, slug=slug, link=link, row=row)


@router.post("/projects/{slug}/members/invitations/{invitation}/withdraw")
def withdraw(db: Db, actor: ActorDep, slug: str, invitation: int) -> Response:
    """End a link."""
    invitations.withdraw(db, actor, slug, invitation)
    return see(f"/projects/{slug}/members#invitations", Notice.LINK_WITHDRAWN)


@router.get("/projects/{slug}/members/{name}")
def show(request: Request, db: Db, actor: ActorDep, slug: str, name: str) -> Response:
    """Show one member, and what may be changed about it."""
    return _member_page(request, db, actor, slug, name)


@router.post("/projects/{slug}/members/{name}/role")
def change_role(request: Request, db: Db, actor: ActorDep, slug: str, name: str, role: Text = "") -> Response:
    """Give a member another role."""
    try:
        members.change_role(db, actor, slug, name, role)
    except (Invalid, Conflict, Denied) as error:
        return _member_page(request, db, actor, slug, name, error)
    return see(f"/projects/{slug}/members/{name}", Notice.ROLE_CHANGED)


@router.post("/projects/{slug}/members/{name}/remove")
def remove(request: Request, db: Db, actor: ActorDep, slug: str, name: str) -> Response:
    """Take a member out of the project."""
    try:
        members.remove_member(db, actor, slug, name)
    except (Conflict, Denied) as error:
        return _member_page(request, db, actor, slug, name, error)
    return see(f"/projects/{slug}/members", Notice.MEMBER_REMOVED)


@router.get("/join/{secret}")
def show_invitation(
    request: Request, db: Db, platform: PlatformDep, actor: ActorDep, secret: str
) -> Response:
    """Show what one is invited to."""
    row = invitations.find_invitation(db, secret, platform.now())
    return page(request, "members/join.html", row=row)


@router.post("/join/{secret}")
def join(request: Request, db: Db, platform: PlatformDep, actor: ActorDep, secret: str) -> Response:
    """Join the project of a link."""
    member = invitations.join(db, actor, secret, platform.now())
    if member.state == "active":
        return see(f"/projects/{db.get_one(Project, member.project_id).slug}", Notice.JOINED)
    return page(request, "members/asked.html")


def join_link(request: Request, platform: Platform, secret: str) -> str:
    """Return the whole address of a link."""
    return f"{platform.server.public_url or str(request.base_url).rstrip('/')}/join/{secret}"


def _number(field: str, text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 8):
        raise Invalid({field: "must be a number"})
    return int(text)


def _values(db: Session, platform: Platform, actor: Actor, project: Project) -> dict[str, object]:
    """Return what the page of members needs besides the list."""
    roles = members.roles_to_give(db, actor, project)
    return {
        "project": project,
        "roles": roles,
        "requests": members.requests(db, project) if roles else (),
        "invitations": invitations.list_invitations(db, project, platform.now()) if roles else (),
        "form": {"role": "member", "days": "7", "uses": "1"},
        "faults": {},
    }


def _index_again(
    request: Request,
    db: Session,
    platform: Platform,
    actor: Actor,
    slug: str,
    error: Invalid,
    form: dict[str, str],
) -> Response:
    """Show the page of members again with what is wrong."""
    project = find_project(db, actor, slug)
    values = _values(db, platform, actor, project)
    listing = members.member_listing(project)
    values |= {"found": find(db, listing, Query.of({}, listing)), "listing": listing}
    values |= {"form": {"days": "7", "uses": "1", **form}, "faults": error.fields}
    return page(request, "members/index.html", error.status, **values)


def _member_page(
    request: Request, db: Session, actor: Actor, slug: str, name: str, error: HttpError | None = None
) -> Response:
    project = find_project(db, actor, slug)
    member = members.find_member(db, project, name)
    return page(
        request,
        "members/show.html",
        error.status if error else 200,
        project=project,
        member=member,
        roles=members.roles_to_give(db, actor, project),
        why_not=members.why_not(db, actor, project, member),
        is_me=member.user_id == actor.user_id,
        form={"role": member.role},
        faults=error.fields if isinstance(error, Invalid) else {},
        error=error,
    )

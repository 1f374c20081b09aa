"""Members of projects and links to join them, by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.auth.permissions import Action
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.members import join_link
from foedus.server.services import invitations, members
from foedus.server.services.projects import find_project

router = APIRouter(tags=["members"])

Word = Annotated[str, Field(max_length=64)]


class NewMember(BaseModel):
    """Whom to invite, and as what."""

    model_config = ConfigDict(extra="forbid")

    name: Word
    role: Word = "member"


class NewRole(BaseModel):
    """Another role."""

    model_config = ConfigDict(extra="forbid")

    role: Word


class Verdict(BaseModel):
    """Who of those who asked is let in, or not."""

    model_config = ConfigDict(extra="forbid")

    names: Annotated[list[Word], Field(max_length=members.MOST_AT_ONCE)]
    approve: bool


class NewInvitation(BaseModel):
    """What a link is good for."""

    model_config = ConfigDict(extra="forbid")

    role: Word = "member"
    days: Annotated[int, Field(ge=-1, le=1_000_000)] = 7
    uses: Annotated[int, Field(ge=-1, le=1_000_000)] = 1
    note: Annotated[str, Field(max_length=400)] = ""
    needs_approval: bool = False


@router.get("/projects/{slug}/members")
def index(request: Request, db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """List the members of a project."""
    return list_json(request, db, members.member_listing(find_project(db, actor, slug)))


@router.post("/projects/{slug}/members", status_code=201)
def add(db: Db, actor: ActorDep, slug: str, new: NewMember) -> dict[str, Any]:
    """Invite somebody by user name; they accept on their account page."""
    return members.as_json(members.add_member(db, actor, slug, new.name, new.role))


@router.post("/projects/{slug}/members/decide")
def decide(db: Db, actor: ActorDep, slug: str, verdict: Verdict) -> dict[str, Any]:
    """Let people who asked in, or not."""
    return {"decided": members.decide(db, actor, slug, verdict.names, verdict.approve)}


@router.post("/projects/{slug}/members/leave", status_code=204)
def leave(db: Db, actor: ActorDep, slug: str) -> None:
    """Leave a project."""
    members.leave(db, actor, slug)


@router.patch("/projects/{slug}/members/{name}")
def change_role(db: Db, actor: ActorDep, slug: str, name: str, new: NewRole) -> dict[str, Any]:
    """Give a member another role."""
    return members.as_json(members.change_role(db, actor, slug, name, new.role))


@router.delete("/projects/{slug}/members/{name}", status_code=204)
def remove(db: Db, actor: ActorDep, slug: str, name: str) -> None:
    """Take a member out of a project."""
    members.remove_member(db, actor, slug, name)


@router.get("/projects/{slug}/invitations", operation_id="invitations.index")
def list_invitations(db: Db, platform: PlatformDep, actor: ActorDep, slug: str) -> dict[str, Any]:
    """List the links that still work."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    found = invitations.list_invitations(db, project, platform.now())
    return {"items": [invitations.as_json(row) for row in found], "total": len(found), "next": None}


@router.post("/projects/{slug}/invitations", status_code=201, operation_id="invitations.create")
def invite(
    request: Request, db: Db, platform: PlatformDep, actor: ActorDep, slug: str, new: NewInvitation
) -> dict[str, Any]:
    """Make a link; `link` is shown this once."""
    row, secret = invitations.create_invitation(
        db, actor, slug, platform.now(), new.role, new.days, new.uses, new.note, new.needs_approval
    )
    return {**invitations.as_json(row), "link": join_link(request, platform, secret)}


@router.delete(
    "/projects/{slug}/invitations/{invitation}", status_code=204, operation_id="invitations.withdraw"
)
def withdraw(db: Db, actor: ActorDep, slug: str, invitation: int) -> None:
    """End a link."""
    invitations.withdraw(db, actor, slug, invitation)

"""Members of a project: let in, given roles, taken out, leaving."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import ROLES, Action, can, require
from foedus.server.db import Membership, Project, User
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.services.audit import record
from foedus.server.services.projects import find_project

ROLE_NAMES: Final = tuple(ROLES)
STATES: Final = ("active", "asked", "invited", "left")
MOST_AT_ONCE: Final = 200


def member_listing(project: Project) -> Listing:
    """Return the list of a project's members; whoever may see the project may see them."""
    return Listing(
        "Members",
        (
            Column("slug", "Project", Project.slug, is_hidden=True),
            Column("name", "Name", User.name, link="/projects/{slug}/members/{name}"),
            Column("display_name", "Called", User.display_name),
            Column("role", "Role", Membership.role),
            Column("site", "Site", User.site),
            Column("client", "Client", Membership.client),
            Column("address", "Address", Membership.chain_address, "id", is_sortable=False),
            Column("state", "State", Membership.state, "state"),
            Column("seen_at", "Last seen", User.seen_at, "time", is_sortable=False),
        ),
        select()
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .join(Project, Project.id == Membership.project_id)
        .where(Membership.project_id == project.id),
        Membership.id,
        "name",
        search=(User.name, User.display_name, User.site),
        filters=(
            Filter("role", "Role", Membership.role, ROLE_NAMES),
            Filter("state", "State", Membership.state, STATES),
        ),
    )


def roles_to_give(db: Session, actor: Actor, project: Project) -> Sequence[str]:
    """Return the roles that the actor may give: owners all, leads all but owner, others none."""
    if can(db, actor, Action.MANAGE_OWNERS, project).allowed:
        return ROLE_NAMES
    if can(db, actor, Action.MANAGE_MEMBERS, project).allowed:
        return tuple(role for role in ROLE_NAMES if role != "owner")
    return ()


def find_member(db: Session, project: Project, name: str) -> Membership:
    """Return somebody's membership, whatever its state. Raises `NotFound`."""
    found = select(Membership).join(User).where(Membership.project_id == project.id, User.name == name)
    member = db.scalar(found.options(joinedload(Membership.user)))
    if member is None:
        raise NotFound("such member")
    return member


def requests(db: Session, project: Project) -> Sequence[Membership]:
    """Return those who ask to be let in, the longest waiting first."""
    asked = select(Membership).where(Membership.project_id == project.id, Membership.state == "asked")
    order = (Membership.created_at, Membership.id)
    return db.scalars(asked.options(joinedload(Membership.user)).order_by(*order).limit(MOST_AT_ONCE)).all()


def add_member(db: Session, actor: Actor, slug: str, name: str, role: str) -> Membership:
    """Invite somebody by user name; they become a member when they accept."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    _require_role(db, actor, project, role)
    user = db.scalar(select(User).where(User.name == name.strip(), User.state == "active"))
    if user is None:
        raise Invalid({"name": "there is no active account of this name"})
    member = put(db, project, user, role, "invited")
    if member.state == "active":
        raise Invalid({"name": f"{user.name} is a member already"})
    member.role, member.state = role, "invited"
    record(db, actor, "invite member", user.name, project.id, role)
    return member


def put(db: Session, project: Project, user: User, role: str, state: str) -> Membership:
    """Return somebody's membership, made if there was none; one that was left is taken up again."""
    found = select(Membership).where(Membership.project_id == project.id, Membership.user_id == user.id)
    member = db.scalar(found)
    if member is None:
        member = Membership(project_id=project.id, user_id=user.id, role=role, state=state, client=user.name)
        member.user = user
        db.add(member)
    elif member.state == "left":
        member.role, member.state = role, state
    db.flush()
    return member


def decide(db: Session, actor: Actor, slug: str, names: Sequence[str], is_approved: bool) -> int:
    """Let those who asked in, or not, all at once; returns how many."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    if not 1 <= len(names) <= MOST_AT_ONCE:
        raise Invalid({"name": f"choose 1 to {MOST_AT_ONCE} people"})
    decided = [member for member in (find_member(db, project, n) for n in names) if member.state == "asked"]
    for member in decided:
        if is_approved:
            _require_role(db, actor, project, member.role)
        member.state = "active" if is_approved else "left"
        action = "approve member" if is_approved else "deny member"
        record(db, actor, action, member.user.name, project.id, member.role)
    return len(decided)


def change_role(db: Session, actor: Actor, slug: str, name: str, role: str) -> Membership:
    """Give a member another role. Raises `Conflict` for the last owner."""
    project, member = _managed(db, actor, slug, name)
    _require_role(db, actor, project, role)
    if member.role == "owner" and role != "owner":
        _require_another_owner(db, project, member)
    before, member.role = member.role, role
    record(db, actor, "change role", name, project.id, f"{before} to {role}")
    return member


def remove_member(db: Session, actor: Actor, slug: str, name: str) -> None:
    """Take a member, or an invitation to one, out of the project."""
    project, member = _managed(db, actor, slug, name)
    _end(db, actor, project, member, "remove member")


def leave(db: Session, actor: Actor, slug: str) -> None:
    """Leave a project. Raises `Conflict` for the last owner."""
    project = find_project(db, actor, slug, Action.LEAVE)
    _end(db, actor, project, find_member(db, project, actor.name), "leave project")


def why_not(db: Session, actor: Actor, project: Project, member: Membership) -> str:
    """Say why the actor may not change this member; empty if they may."""
    decision = can(db, actor, _action_for(member), project)
    if not decision.allowed:
        return f"You may not {_action_for(member)}: {decision.because}."
    return ""


def as_json(member: Membership) -> dict[str, Json]:
    """Return a membership as the API gives it."""
    return {
        "name": member.user.name,
        "display_name": member.user.display_name,
        "site": member.user.site,
        "role": member.role,
        "state": member.state,
        "client": member.client,
        "address": member.chain_address,
    }


def _managed(db: Session, actor: Actor, slug: str, name: str) -> tuple[Project, Membership]:
    """Return project and member, of which the actor may change this member."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    member = find_member(db, project, name)
    require(db, actor, _action_for(member), project, "such project")
    return project, member


def _action_for(member: Membership) -> Action:
    return Action.MANAGE_OWNERS if member.role == "owner" else Action.MANAGE_MEMBERS


def _require_role(db: Session, actor: Actor, project: Project, role: str) -> None:
    if role not in ROLE_NAMES:
        raise Invalid({"role": f"must be one of {', '.join(ROLE_NAMES)}"})
    if role == "owner":
        require(db, actor, Action.MANAGE_OWNERS, project, "such project")


def _require_another_owner(db: Session, project: Project, member: Membership) -> None:
    # the rows are locked, so that two owners cannot leave at the same moment
    owners = select(Membership.id).where(
        Membership.project_id == project.id, Membership.role == "owner", Membership.state == "active"
    )
    if member.state == "active" and set(db.scalars(owners.with_for_update())) <= {member.id}:
        raise Conflict(
            f"{member.user.name} is the only owner of {project.slug}", "Make another member an owner first."
        )


def _end(db: Session, actor: Actor, project: Project, member: Membership, action: str) -> None:
    if member.role == "owner":
        _require_another_owner(db, project, member)
    member.state, member.dataset_id = "left", None
    record(db, actor, action, member.user.name, project.id, member.role)

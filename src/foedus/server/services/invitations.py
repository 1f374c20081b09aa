"""Links by which people join a project, and invitations by name."""

import datetime
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from foedus.core.canonical import Json
from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.auth.permissions import Action, can, require
from foedus.server.auth.secrets import hash_of, new_secret
from foedus.server.db import Invitation, Membership, Project, User
from foedus.server.errors import Denied, Invalid, NotFound, SignInNeeded
from foedus.server.listing import plain
from foedus.server.services import members
from foedus.server.services.audit import record
from foedus.server.services.projects import find_project

LONGEST_DAYS: Final = 90
MOST_USES: Final = 200
_MOST: Final = 100


def create_invitation(
    db: Session,
    actor: Actor,
    slug: str,
    now: datetime.datetime,
    role: str,
    days: int = 7,
    uses: int = 1,
    note: str = "",
    needs_approval: bool = False,
) -> tuple[Invitation, str]:
    """Make a link; returns its row, and the secret part for once. Raises `Invalid` naming the fields."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    faults = {}
    if role not in members.ROLE_NAMES:
        faults["role"] = f"must be one of {', '.join(members.ROLE_NAMES)}"
    if not 1 <= days <= LONGEST_DAYS:
        faults["days"] = f"must be from 1 to {LONGEST_DAYS}"
    if not 1 <= uses <= MOST_USES:
        faults["uses"] = f"must be from 1 to {MOST_USES}"
    if len(note.strip()) > 200 or "\0" in note:
        faults["note"] = "at most 200 characters"
    if faults:
        raise Invalid(faults)
    if role == "owner":
        require(db, actor, Action.MANAGE_OWNERS, project, "such project")
    if len(list_invitations(db, project, now)) >= _MOST:
        raise Invalid({"note": f"the project has {_MOST} links already: withdraw some"})
    secret = new_secret()
    row = Invitation(
        project_id=project.id,
        token_hash=hash_of(secret),
        role=role,
        note=note.strip(),
        created_by=actor.user_id,
        created_at=now,
        expires_at=now + datetime.timedelta(days=days),
        uses_left=uses,
        needs_approval=needs_approval,
    )
    db.add(row)
    db.flush()
    record(db, actor, "make invitation", f"{slug} as {role}", project.id, f"{uses} uses, {days} days")
    return row, secret


def list_invitations(db: Session, project: Project, now: datetime.datetime) -> Sequence[Invitation]:
    """Return the links that still work, the newest first."""
    works = (Invitation.project_id == project.id, Invitation.expires_at > now, Invitation.uses_left > 0)
    return db.scalars(select(Invitation).where(*works).order_by(Invitation.id.desc())).all()


def withdraw(db: Session, actor: Actor, slug: str, invitation: int) -> None:
    """End a link. Raises `NotFound` for one of another project."""
    project = find_project(db, actor, slug, Action.MANAGE_MEMBERS)
    row = db.get(Invitation, invitation)
    if row is None or row.project_id != project.id:
        raise NotFound("such invitation")
    db.delete(row)
    record(db, actor, "withdraw invitation", f"{slug} as {row.role}", project.id)


def find_invitation(db: Session, secret: str, now: datetime.datetime) -> Invitation:
    """Return the link of this secret. One that is over looks like one that never was: `NotFound`."""
    found = select(Invitation).where(Invitation.token_hash == hash_of(secret))
    row = db.scalar(found.options(joinedload(Invitation.project)))
    if row is None or row.expires_at <= now or row.uses_left < 1 or not _is_still_given(db, row):
        raise NotFound("such invitation")
    return row


def _is_still_given(db: Session, row: Invitation) -> bool:
    """Tell whether whoever made the link may still give its role: who was removed takes the links along."""
    maker = db.get(User, row.created_by) if row.created_by is not None else None
    action = Action.MANAGE_OWNERS if row.role == "owner" else Action.MANAGE_MEMBERS
    return maker is not None and can(db, Actor(maker, frozenset(ALL_SCOPES)), action, row.project).allowed


def join(db: Session, actor: Actor, secret: str, now: datetime.datetime) -> Membership:
    """Use a link: its opener becomes a member, or asks to be one where the link says so.

    So does who was a member before: perhaps others removed them. Members stay what they are, and use nothing
    up.
    """
    user = _acting(db, actor)
    row = find_invitation(db, secret, now)
    held = db.scalar(
        select(Membership).where(Membership.project_id == row.project_id, Membership.user_id == user.id)
    )
    was_member = held is not None and held.state == "left"
    state = "asked" if row.needs_approval or was_member else "active"
    if held is not None and held.state in ("active", state):
        return held
    # the count falls only where it has not fallen to 0 meanwhile
    left = Invitation.uses_left
    used = update(Invitation).where(Invitation.id == row.id, left > 0).values(uses_left=left - 1)
    if db.scalar(used.returning(Invitation.id)) is None:
        raise NotFound("such invitation")
    member = members.put(db, row.project, user, row.role, state)
    if member.state != state and member.state != "active":
        member.role, member.state = row.role, state
    record(
        db, actor, "ask to join" if state == "asked" else "join", row.project.slug, row.project_id, row.role
    )
    return member


def waiting_for(db: Session, actor: Actor) -> Sequence[Membership]:
    """Return the invitations by name that wait for the actor's answer."""
    mine = (Membership.user_id == actor.user_id, Membership.state == "invited")
    found = select(Membership).where(*mine).options(joinedload(Membership.project))
    return db.scalars(found.order_by(Membership.id).limit(_MOST)).all()


def answer(db: Session, actor: Actor, slug: str, is_yes: bool) -> None:
    """Accept or decline an invitation by name. Raises `NotFound` where there is none."""
    user = _acting(db, actor)
    found = select(Membership).join(Project).where(Project.slug == slug, Membership.user_id == user.id)
    member = db.scalar(found.where(Membership.state == "invited"))
    if member is None:
        raise NotFound("such invitation")
    member.state = "active" if is_yes else "left"
    record(db, actor, "accept invitation" if is_yes else "decline invitation", slug, member.project_id)


def as_json(row: Invitation) -> dict[str, Json]:
    """Return a link as the API gives it, without its secret."""
    return {
        "id": row.id,
        "role": row.role,
        "note": row.note,
        "uses_left": row.uses_left,
        "needs_approval": row.needs_approval,
        "created_at": plain(row.created_at),
        "expires_at": plain(row.expires_at),
    }


def _acting(db: Session, actor: Actor) -> User:
    if actor.user is None:
        raise SignInNeeded
    if "write" not in actor.scopes:
        raise Denied("the token lacks the scope write", "Use another token.")
    return db.get_one(User, actor.user.id)

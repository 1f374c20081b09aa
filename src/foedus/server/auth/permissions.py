"""Who may do what: one function answers, and says by which rule. What nothing allows is denied."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.db import AppJob, Dataset, Membership, Project, Run
from foedus.server.errors import Denied, NotFound, SignInNeeded


class Action(StrEnum):
    """What somebody may want to do. The words after `may not` in messages."""

    SEE = "see this"
    CREATE_PROJECT = "create projects"
    EDIT_PROJECT = "change this project"
    MANAGE_MEMBERS = "manage its members"
    MANAGE_OWNERS = "change owners, archive or delete it"
    START_RUN = "start runs in this project"
    CANCEL_RUN = "cancel this run"
    CONTRIBUTE = "contribute data to this project"
    VOTE = "vote in this project"
    LEAVE = "leave this project"
    READ_LOCAL_MODELS = "read its members' updates"
    SHARE_DATA = "publish shared data in this project"
    EXPLAIN = "ask for heat maps of this run's models"
    EDIT = "change this"  # datasets and batch jobs of one's own
    SUBMIT_JOB = "submit batch jobs"
    ADMINISTER = "administer this site"


Resource: TypeAlias = Project | Run | Dataset | AppJob | None
"""What it is done to; None is the platform as a whole."""

_READS: Final = frozenset({Action.SEE, Action.READ_LOCAL_MODELS})
_MEMBER: Final = frozenset(
    {
        Action.SEE,
        Action.CONTRIBUTE,
        Action.VOTE,
        Action.LEAVE,
        Action.READ_LOCAL_MODELS,
        Action.SHARE_DATA,
        Action.EXPLAIN,
    }
)
_LEAD: Final = _MEMBER | {Action.EDIT_PROJECT, Action.MANAGE_MEMBERS, Action.START_RUN, Action.CANCEL_RUN}
ROLES: Final = {
    "auditor": frozenset({Action.SEE, Action.READ_LOCAL_MODELS, Action.EXPLAIN, Action.LEAVE}),
    "member": _MEMBER,
    "lead": _LEAD,
    "owner": _LEAD | {Action.MANAGE_OWNERS},
}
_ANYBODY_SIGNED_IN: Final = frozenset({Action.CREATE_PROJECT, Action.SUBMIT_JOB})


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the rule behind it in words."""

    allowed: bool
    because: str
    hint: str = "Ask a lead or an administrator."


def can(db: Session, actor: Actor, action: Action, resource: Resource = None) -> Decision:
    """Decide whether the actor may do this to the resource."""
    if actor.user is None:
        return Decision(False, "nobody is signed in")
    if actor.user.state != "active":
        return Decision(False, f"the account is {actor.user.state}")
    needed = "admin" if action is Action.ADMINISTER else "read" if action in _READS else "write"
    if needed not in actor.scopes:
        return Decision(False, f"the token lacks the scope {needed}", f"Use a token with the scope {needed}.")
    if resource is None:
        return _on_platform(actor, action)
    if isinstance(resource, Dataset | AppJob):
        is_own = resource.owner_id == actor.user_id
        return Decision(is_own, "it is their own" if is_own else "it belongs to somebody else")
    project = resource.project_id if isinstance(resource, Run) else resource.id
    return _in_project(db, actor, action, project)


def _on_platform(actor: Actor, action: Action) -> Decision:
    if action is Action.ADMINISTER:
        word = "is" if actor.is_admin else "is no"
        return Decision(actor.is_admin, f"{actor.name} {word} site administrator")
    return Decision(
        action in _ANYBODY_SIGNED_IN,
        "everybody with an account may" if action in _ANYBODY_SIGNED_IN else "it needs a project",
    )


def _in_project(db: Session, actor: Actor, action: Action, project: int) -> Decision:
    role = role_in(db, actor, project)
    if role is None:
        return Decision(False, "they are not a member of the project")
    allowed = action in ROLES[role]
    return Decision(allowed, f"the role {role} {'allows' if allowed else 'does not allow'} it")


def role_in(db: Session, actor: Actor, project: int) -> str | None:
    """Return the actor's role in a project, None for strangers and those who wait, were invited or left."""
    return db.scalar(
        select(Membership.role).where(
            Membership.project_id == project,
            Membership.user_id == actor.user_id,
            Membership.state == "active",
        )
    )


def visible_projects(actor: Actor) -> Select[int]:
    """Return a query for the ids of the projects that the actor may see: use it in every list."""
    return select(Membership.project_id).where(
        Membership.user_id == actor.user_id, Membership.state == "active"
    )


def require(db: Session, actor: Actor, action: Action, resource: Resource = None, what: str = "") -> None:
    """Raise unless the actor may do this: `NotFound` where it may not even see the resource.

    `what` names the resource in `NotFound`, which must not tell that it exists. Raises `SignInNeeded` for
    nobody and `Denied`, with the reason, for the rest.
    """
    if actor.user is None:
        raise SignInNeeded
    decision = can(db, actor, action, resource)
    if decision.allowed:
        return
    if resource is not None and not can(db, actor, Action.SEE, resource).allowed:
        raise NotFound(what or "such thing")
    raise Denied(f"you may not {action}: {decision.because}", decision.hint)

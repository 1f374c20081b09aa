"""Administration by the API: tokens need the scope `admin`."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db
from foedus.server.services import administered_users, administration

router = APIRouter(prefix="/admin", tags=["administration"])


class Approval(BaseModel):
    """Whose accounts to approve."""

    model_config = ConfigDict(extra="forbid")

    names: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=200)]


class Change(BaseModel):
    """What becomes of an account; what is absent stays. `confirm` is its name once more."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool | None = None
    admin: bool | None = None
    confirm: Annotated[str, Field(max_length=64)]


@router.get("/users")
def users(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List all accounts."""
    return list_json(request, db, administered_users.user_listing(db, actor))


@router.post("/users/approve")
def approve(db: Db, actor: ActorDep, approval: Approval) -> dict[str, Any]:
    """Let accounts that wait be used."""
    return {"approved": administered_users.approve_users(db, actor, approval.names)}


@router.get("/users/{name}")
def user(db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """Return an account."""
    return administered_users.as_json(administered_users.find_user(db, actor, name))


@router.patch("/users/{name}")
def change(db: Db, actor: ActorDep, name: str, change: Change) -> dict[str, Any]:
    """Enable or disable an account, or make it an administrator's or no longer one."""
    if change.enabled is not None:
        administered_users.set_state(db, actor, name, change.enabled, change.confirm)
    if change.admin is not None:
        administered_users.set_admin(db, actor, name, change.admin, change.confirm)
    return administered_users.as_json(administered_users.find_user(db, actor, name))


@router.get("/audit")
def audit(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List who did what."""
    return list_json(request, db, administration.audit_listing(db, actor))

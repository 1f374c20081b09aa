"""One's own account and tokens by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import accounts, tokens

router = APIRouter(tags=["account"])


class NewToken(BaseModel):
    """What a token is made from. Without `days` it does not expire."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=400)]
    scope: Annotated[str, Field(max_length=32, examples=["write"])] = "read"
    days: Annotated[int | None, Field(ge=-1, le=1_000_000)] = 90


@router.get("/me", operation_id="account.show")
def me(actor: ActorDep) -> dict[str, Any]:
    """Return who you are, and what your token may do."""
    assert actor.user is not None, "ActorDep refuses nobody"
    return {**accounts.as_json(actor.user), "scopes": sorted(actor.scopes)}


@router.get("/tokens", operation_id="tokens.index")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List your tokens."""
    return list_json(request, db, tokens.token_listing(actor))


@router.post("/tokens", status_code=201, operation_id="tokens.create")
def create(platform: PlatformDep, actor: ActorDep, new: NewToken) -> dict[str, Any]:
    """Make a token; `token` is shown this once."""
    row, token = tokens.create_token(platform, actor, new.note, new.scope, new.days)
    return {**tokens.as_json(row), "token": token}


@router.delete("/tokens/{prefix}", status_code=204, operation_id="tokens.revoke")
def revoke(db: Db, actor: ActorDep, prefix: str) -> None:
    """End a token."""
    tokens.revoke_token(db, actor, prefix)

"""The page of one's own account: profile, password, sessions, tokens, chain key."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.db import ApiToken, User, WebSession
from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep, platform_of
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.pages.sign_in import signed_out, to_provider
from foedus.server.services import account_keys, accounts, identities, invitations, tokens

router = APIRouter(prefix="/account")

Text = Annotated[str, Form(max_length=2_000)]


@router.get("")
def show(request: Request, db: Db, actor: ActorDep) -> Response:
    """Show the account."""
    return _page(request, db, actor)


@router.post("/profile")
def edit_profile(
    request: Request, db: Db, actor: ActorDep, display_name: Text = "", email: Text = "", site: Text = ""
) -> Response:
    """Change what the account says of its owner."""
    try:
        accounts.edit_profile(db, actor, display_name, email, site)
    except Invalid as error:
        form = {"display_name": display_name, "email": email, "site": site}
        return _page(request, db, actor, error.fields, form)
    return see("/account", Notice.SAVED)


@router.post("/password")
def change_password(
    request: Request, platform: PlatformDep, actor: ActorDep, current: Text = "", new: Text = ""
) -> Response:
    """Set another password."""
    try:
        accounts.change_password(platform, actor, current, new)
    except Invalid as error:
        with platform.reading() as db:
            return _page(request, db, actor, error.fields)
    return see("/account#password", Notice.PASSWORD_CHANGED)


@router.post("/sessions/{session}/end")
def end_session(db: Db, actor: ActorDep, session: int) -> Response:
    """Sign one browser out."""
    accounts.end_session(db, actor, session)
    return see("/account#sessions", Notice.SESSION_ENDED)


@router.post("/sessions/end-all")
def end_sessions(request: Request, db: Db, actor: ActorDep) -> Response:
    """Sign all browsers out, this one as well."""
    accounts.end_sessions(db, actor)
    return signed_out(request)


@router.get("/tokens")
def list_tokens(request: Request, db: Db, actor: ActorDep) -> Response:
    """List my tokens."""
    return list_page(request, db, tokens.token_listing(actor))


@router.post("/tokens")
def create_token(
    request: Request,
    platform: PlatformDep,
    actor: ActorDep,
    note: Text = "",
    scope: Text = "read",
    days: Text = "",
) -> Response:
    """Make a token and show it, for once."""
    try:
        if days.strip() and not (days.strip().isascii() and days.strip().isdigit() and len(days) < 8):
            raise Invalid({"days": "must be a number of days"})
        _, token = tokens.create_token(platform, actor, note, scope, int(days) if days.strip() else None)
    except Invalid as error:
        with platform.reading() as db:
            return _page(request, db, actor, error.fields, {"note": note, "scope": scope, "days": days})
    return page(request, "account/token.html", 201, token=token, note=note, scope=scope)


@router.post("/tokens/{prefix}/revoke")
def revoke_token(db: Db, actor: ActorDep, prefix: str) -> Response:
    """End a token."""
    tokens.revoke_token(db, actor, prefix)
    return see("/account#tokens", Notice.TOKEN_REVOKED)


@router.post("/identities/link")
def link_identity(
    request: Request,
    platform: PlatformDep,
    actor: ActorDep,
    link_password: Text = "",
    link_confirm: Text = "",
) -> Response:
    """Send the browser to the provider, whose identity is linked to the account when it comes back."""
    try:
        user_id = identities.confirm_link(platform, actor, link_password, link_confirm)
    except Invalid as error:
        with platform.reading() as db:
            return _page(request, db, actor, error.fields)
    return to_provider(request, platform, "/account#identities", user_id)


@router.post("/identities/{identity}/unlink")
def unlink_identity(db: Db, actor: ActorDep, identity: Annotated[int, Path(ge=0, le=2**31 - 1)]) -> Response:
    """End one way to sign in."""
    identities.unlink(db, actor, identity)
    return see("/account#identities", Notice.IDENTITY_UNLINKED)


@router.post("/key/export")
def export_key(
    request: Request,
    platform: PlatformDep,
    actor: ActorDep,
    key_password: Text = "",
    file_password: Text = "",
) -> Response:
    """Give the chain key to its owner as a keystore file."""
    try:
        name, content = account_keys.export_key(platform, actor, key_password, file_password)
    except Invalid as error:
        with platform.reading() as db:
            return _page(request, db, actor, error.fields)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/json", headers=headers)


@router.post("/key/replace")
def replace_key(request: Request, db: Db, actor: ActorDep, confirm: Text = "") -> Response:
    """Have a worker make another chain key."""
    try:
        account_keys.replace_key(db, actor, confirm)
    except Invalid as error:
        return _page(request, db, actor, error.fields)
    return see("/account#key", Notice.KEY_ASKED)


@router.post("/invitations/{slug}")
def answer_invitation(db: Db, actor: ActorDep, slug: str, answer: Text = "") -> Response:
    """Take part in a project one was invited to, or decline."""
    is_yes = answer == "accept"
    invitations.answer(db, actor, slug, is_yes)
    return see(f"/projects/{slug}", Notice.JOINED) if is_yes else see("/account", Notice.DECLINED)


def _page(
    request: Request,
    db: Session,
    actor: Actor,
    faults: dict[str, str] | None = None,
    form: dict[str, Any] | None = None,
) -> Response:
    user = db.get_one(User, actor.user_id)
    mine = select(WebSession).where(WebSession.user_id == user.id).order_by(WebSession.seen_at.desc())
    held = select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.id.desc())
    profile = {"display_name": user.display_name, "email": user.email or "", "site": user.site}
    return page(
        request,
        "account/index.html",
        422 if faults else 200,
        user=user,
        sessions=db.scalars(mine.limit(100)).all(),
        tokens=db.scalars(held).all(),
        identities=identities.linked(db, actor),
        provider=platform_of(request).settings.oidc,
        invitations=invitations.waiting_for(db, actor),
        scopes=ALL_SCOPES if user.is_admin else ALL_SCOPES[:-1],
        form={**profile, "days": "90", **(form or {})},
        faults=faults or {},
    )

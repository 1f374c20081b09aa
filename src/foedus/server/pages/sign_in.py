"""Signing in, up and out, and the first account."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from foedus.server.auth import browsers, limits, oidc
from foedus.server.auth.actors import Actor
from foedus.server.auth.oidc import Claimed
from foedus.server.errors import Denied, HttpError, Invalid, NotFound, TooMany, Unavailable
from foedus.server.http import AnybodyDep, Db, PlatformDep
from foedus.server.pages.frame import local_path
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.platform import Platform
from foedus.server.services import accounts, first_account, identities
from foedus.server.services.accounts import Entry, NewAccount

router = APIRouter()

Text = Annotated[str, Form(max_length=2_000)]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@router.get("/welcome")
def show_welcome(request: Request, platform: PlatformDep, code: str = "") -> Response:
    """Show the form for the first account, while there is none."""
    if first_account.setup_code(platform) is None:
        return see("/sign-in")
    return page(request, "sign_in/welcome.html", form={"code": code}, faults={})


@router.post("/welcome")
def welcome(
    request: Request,
    platform: PlatformDep,
    code: Text = "",
    name: Text = "",
    password: Text = "",
    display_name: Text = "",
    email: Text = "",
    site: Text = "",
) -> Response:
    """Make the first account and sign it in."""
    new = NewAccount(name.strip(), password, display_name, email, site)
    try:
        secret = first_account.welcome(platform, code, new, entry_of(request))
    except Invalid as error:
        form = {"code": code, "name": name, "display_name": display_name, "email": email, "site": site}
        return page(request, "sign_in/welcome.html", 422, form=form, faults=error.fields)
    return signed_in(request, platform, secret, "/")


@router.get("/sign-in")
def show_sign_in(
    request: Request, db: Db, platform: PlatformDep, actor: AnybodyDep, next: str = "/"
) -> Response:
    """Show the form; whoever is signed in goes on, and without any account it leads to the first one."""
    if actor.user is not None:
        return see(local_path(next))
    if first_account.is_unused(db):
        return see("/welcome")
    name = _vouched_for(request, platform)
    if name:
        try:
            secret = identities.enter_claimed(
                platform, Claimed(identities.PROXY, name, name), entry_of(request)
            )
        except Denied as error:
            return _sign_in_page(request, platform, error, next=next)
        return signed_in(request, platform, secret, next)
    return _sign_in_page(request, platform, next=next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    platform: PlatformDep,
    actor: AnybodyDep,
    name: Text = "",
    password: Text = "",
    next: Text = "/",
) -> Response:
    """Sign in by name and password."""
    try:
        user, secret = accounts.sign_in(platform, name, password, entry_of(request))
    except (Invalid, Denied, TooMany) as error:
        answer = _sign_in_page(request, platform, error, name=name, next=next)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(error.retry_s)
        return answer
    end_old(platform, actor)
    return signed_in(request, platform, secret, "/account#password" if user.password_once else next)


@router.get("/sign-in/provider")
def begin_at_provider(request: Request, platform: PlatformDep, next: str = "/") -> Response:
    """Send the browser to the provider of identities."""
    limits.attempt(platform, limits.PROVIDER, limits.network_of(entry_of(request).address))
    return to_provider(request, platform, local_path(next))


@router.get("/sign-in/provider/back")
def come_back(request: Request, platform: PlatformDep, actor: AnybodyDep) -> Response:
    """Take the provider's answer, and sign in, or link the identity to the account that asked for it."""
    name = _provider_cookie(request.url.scheme == "https")
    secret = request.cookies.get(name, "")
    try:
        found = oidc.finish(platform, dict(request.query_params), secret, _callback(request, platform))
        if found.user_id is not None:
            identities.link(platform, actor, found.claimed, found.user_id)
            return see(found.next, Notice.IDENTITY_LINKED)
        session = identities.enter_claimed(platform, found.claimed, entry_of(request))
    except (Denied, Unavailable) as error:
        return _sign_in_page(request, platform, error)
    end_old(platform, actor)
    answer = signed_in(request, platform, session, found.next)
    answer.delete_cookie(name, secure=request.url.scheme == "https", httponly=True, samesite="lax")
    return answer


@router.get("/sign-up")
def show_sign_up(request: Request, db: Db, platform: PlatformDep) -> Response:
    """Show the form for a new account."""
    if first_account.is_unused(db):
        return see("/welcome")
    _require_open(platform)
    return page(request, "sign_in/sign_up.html", form={}, faults={})


@router.post("/sign-up")
def sign_up(
    request: Request,
    platform: PlatformDep,
    name: Text = "",
    password: Text = "",
    display_name: Text = "",
    email: Text = "",
    site: Text = "",
) -> Response:
    """Make an account; it is told whether it has to wait."""
    _require_open(platform)
    new = NewAccount(name.strip(), password, display_name, email, site)
    try:
        user = accounts.sign_up(platform, new, entry_of(request))
    except Invalid as error:
        form = {"name": name, "display_name": display_name, "email": email, "site": site}
        return page(request, "sign_in/sign_up.html", 422, form=form, faults=error.fields)
    return page(request, "sign_in/made.html", 201, user=user)


@router.post("/sign-out")
def sign_out(request: Request, db: Db, actor: AnybodyDep) -> Response:
    """End this browser's session."""
    if actor.session is not None:
        browsers.sign_out(db, actor.session)
    return signed_out(request)


def entry_of(request: Request) -> Entry:
    """Return where a request comes from."""
    return Entry(request.headers.get("user-agent", ""), request.client.host if request.client else "")


def signed_in(request: Request, platform: Platform, secret: str, next: str) -> Response:
    """Give the browser its cookie and send it on."""
    answer = see(local_path(next))
    is_https = request.url.scheme == "https"
    answer.set_cookie(
        browsers.cookie_name(is_https),
        secret,
        max_age=int(platform.server.session_max_h * 3600),
        secure=is_https,
        httponly=True,
        samesite="lax",
    )
    return answer


def signed_out(request: Request) -> Response:
    """Take the browser's cookie away and send it to where one signs in."""
    answer = see("/sign-in")
    is_https = request.url.scheme == "https"
    answer.delete_cookie(browsers.cookie_name(is_https), secure=is_https, httponly=True, samesite="lax")
    return answer


def end_old(platform: Platform, actor: Actor) -> None:
    """End the session that this browser had before it signed in again."""
    if actor.session is not None:
        with platform.writing() as db:
            browsers.sign_out(db, actor.session)


def to_provider(request: Request, platform: Platform, next: str, user_id: int | None = None) -> Response:
    """Send the browser to the provider of identities; see `oidc.begin`."""
    url, secret = oidc.begin(platform, _callback(request, platform), next, user_id)
    answer = see(url)
    is_https = request.url.scheme == "https"
    # `Lax`: the provider sends the browser back from its own site
    answer.set_cookie(
        _provider_cookie(is_https),
        secret,
        max_age=int(oidc.KEPT.total_seconds()),
        secure=is_https,
        httponly=True,
        samesite="lax",
    )
    return answer


def _callback(request: Request, platform: Platform) -> str:
    return f"{platform.server.public_url or str(request.base_url).rstrip('/')}/sign-in/provider/back"


def _provider_cookie(is_https: bool) -> str:
    return f"{browsers.cookie_name(is_https)}-provider"


def _vouched_for(request: Request, platform: Platform) -> str:
    """Return the name that a trusted proxy on this machine gives; empty without one."""
    header = platform.server.remote_user_header
    client = request.client
    if header is None or client is None:
        return ""
    # port 0: uvicorn put the browser's address there, which it does for proxies on this machine alone
    is_trusted = client.host in _LOOPBACK or client.port == 0
    return request.headers.get(header, "").strip()[:200] if is_trusted else ""


def _require_open(platform: Platform) -> None:
    if platform.server.sign_up == "closed":
        raise NotFound


def _sign_in_page(
    request: Request, platform: Platform, error: HttpError | None = None, name: str = "", next: str = "/"
) -> Response:
    is_plain = request.url.scheme != "https" and request.url.hostname not in _LOOPBACK
    return page(
        request,
        "sign_in/index.html",
        error.status if error else 200,
        form={"name": name},
        error=error,
        next=local_path(next),
        is_plain=is_plain,
        provider=platform.settings.oidc.name if platform.settings.oidc else None,
    )

"""Signing in by a provider of identities: OpenID Connect, code flow with PKCE.

What an answer is checked against (state, nonce, verifier) stays in the database and is used once. A cookie
binds it to the browser that began, so that nobody can be signed in to an account that somebody else chose.
"""

import datetime
import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from sqlalchemy import delete
from sqlalchemy.orm import Session

from foedus.server.auth.secrets import hash_of, new_secret
from foedus.server.db import SignInAttempt
from foedus.server.errors import Denied, NotFound, Unavailable
from foedus.server.platform import Platform
from foedus.server.settings import OidcSection

KEPT: Final = datetime.timedelta(minutes=10)
"""How long a sign-in at the provider may take."""
_TIMEOUT_S: Final = 10
_LEEWAY_S: Final = 60  # by which clocks may differ
_ALGORITHMS: Final = ("RS256", "RS512", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
# only signatures by the provider's key: no `none`, and no HMAC, for which the key would be public
_HINT: Final = "Begin the sign-in again; if it keeps failing, tell an administrator."


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who somebody is, as a provider says. `issuer` and `subject` name them; the rest is decoration."""

    issuer: str
    subject: str
    name: str = ""
    display_name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Returned:
    """Who came back from the provider, where they wanted to go, and whose account the identity is for."""

    claimed: Claimed
    next: str
    user_id: int | None  # none: they sign in


def begin(platform: Platform, redirect_uri: str, next: str, user_id: int | None = None) -> tuple[str, str]:
    """Return the provider's address to send the browser to, and the secret of the cookie that binds it.

    With `user_id` the identity is to be linked to that account, else somebody signs in by it. Raises
    `NotFound` without a provider in the settings, `Unavailable` when it does not answer.
    """
    provider = _provider(platform)
    with _client() as client:
        endpoint = _discover(client, provider)["authorization_endpoint"]
    state, browser, nonce, verifier = (new_secret() for _ in range(4))
    now = platform.now()
    with platform.writing() as db:
        db.execute(delete(SignInAttempt).where(SignInAttempt.expires_at <= now))
        row = SignInAttempt(
            state_hash=hash_of(state),
            browser_hash=hash_of(browser),
            nonce=nonce,
            verifier=verifier,
            next=next[:2000],
            expires_at=now + KEPT,
            user_id=user_id,
        )
        db.add(row)
    question = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": provider.scopes,
        "state": state,
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(question)}", browser


def finish(platform: Platform, answer: Mapping[str, str], browser: str, redirect_uri: str) -> Returned:
    """Check the provider's answer and say who came back.

    Raises `Denied` for an answer that is not valid or not for this browser, `Unavailable` when the provider
    does not answer.
    """
    provider = _provider(platform)
    with platform.writing() as db:
        found = _take(db, answer.get("state", ""), browser, platform.now())
    if found is None:
        raise Denied("this sign-in was not begun in this browser, or took too long", _HINT)
    if "error" in answer or not answer.get("code"):
        raise Denied("the provider did not sign you in", _HINT)
    if answer.get("iss", provider.issuer) != provider.issuer:
        raise _refused("issuer")
    with _client() as client:
        metadata = _discover(client, provider)
        tokens = _exchange(client, provider, metadata, answer["code"], found.verifier, redirect_uri)
        keys = _get(client, metadata["jwks_uri"], "keys")
    claims = _verified(provider, tokens, keys, found.nonce, platform.now())
    return Returned(_claimed(provider, claims), found.next, found.user_id)


def _provider(platform: Platform) -> OidcSection:
    if platform.settings.oidc is None:
        raise NotFound
    return platform.settings.oidc


def _client() -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)


def _take(db: Session, state: str, browser: str, now: datetime.datetime) -> SignInAttempt | None:
    """Return and forget what an answer is checked against, if this browser began it in time."""
    matches = (
        SignInAttempt.state_hash == hash_of(state),
        SignInAttempt.browser_hash == hash_of(browser),
    )
    row = db.scalar(delete(SignInAttempt).where(*matches).returning(SignInAttempt))
    return row if row is not None and row.expires_at > now else None


def _discover(client: httpx.Client, provider: OidcSection) -> dict[str, Any]:
    """Return what the provider says of itself. Raises `Unavailable` unless it is the one that is set."""
    _require_safe(provider.issuer)
    url = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    found = _get(client, url, "configuration")
    if found.get("issuer") != provider.issuer:
        raise Unavailable("the provider is not the issuer that is set", "Correct oidc.issuer.")
    for key in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(found.get(key), str):
            raise Unavailable(f"the provider does not say its {key}", _HINT)
        _require_safe(found[key])
    return found


def _exchange(
    client: httpx.Client,
    provider: OidcSection,
    metadata: dict[str, Any],
    code: str,
    verifier: str,
    redirect_uri: str,
) -> dict[str, Any]:
    """Return the tokens for a code."""
    try:
        secret = provider.client_secret_file.expanduser().read_text().strip()
    except OSError as error:
        raise Unavailable("the client secret cannot be read", "Correct oidc.client_secret_file.") from error
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    ways = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    auth = httpx.Auth()  # none
    if "client_secret_basic" in ways:
        auth = httpx.BasicAuth(quote(provider.client_id, safe=""), quote(secret, safe=""))
    else:
        form |= {"client_id": provider.client_id, "client_secret": secret}
    try:
        answer = client.post(metadata["token_endpoint"], data=form, auth=auth)
    except httpx.HTTPError as error:
        raise _silent() from error
    if answer.status_code in (400, 401):
        raise _refused("code")
    return _json(answer, "tokens")


def _verified(
    provider: OidcSection, tokens: dict[str, Any], keys: dict[str, Any], nonce: str, now: datetime.datetime
) -> dict[str, Any]:
    """Return the claims of the ID token after all of its checks."""
    try:
        registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
        token = jwt.decode(str(tokens["id_token"]), KeySet.import_key_set(keys), registry=registry)  # type: ignore[arg-type]  # checked by it
        options = {
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
            "sub": {"essential": True},
            "nonce": {"essential": True, "value": nonce},
        }
        facts = {"nonce": nonce, "client_id": provider.client_id, "access_token": tokens.get("access_token")}
        CodeIDToken(token.claims, token.header, options, facts).validate(int(now.timestamp()), _LEEWAY_S)
    except JoseError as error:
        raise _refused(str(getattr(error, "claim", "") or error.error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise _refused("form") from error
    return token.claims


def _claimed(provider: OidcSection, claims: dict[str, Any]) -> Claimed:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200:
        raise _refused("sub")
    groups = claims.get(provider.groups_claim, ())
    if isinstance(groups, str):
        groups = (groups,)
    if not isinstance(groups, list | tuple):
        groups = ()
    email = claims.get("email") if claims.get("email_verified") is True else ""
    return Claimed(
        provider.issuer,
        subject,
        str(claims.get("preferred_username") or email or ""),
        str(claims.get("name") or ""),
        str(email or ""),
        frozenset(one for one in groups if isinstance(one, str)),
    )


def _get(client: httpx.Client, url: str, what: str) -> dict[str, Any]:
    try:
        return _json(client.get(url), what)
    except httpx.HTTPError as error:
        raise _silent() from error


def _json(answer: httpx.Response, what: str) -> dict[str, Any]:
    try:
        answer.raise_for_status()
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _silent() from error
    if not isinstance(found, dict):
        raise Unavailable(f"the provider's {what} cannot be understood", _HINT)
    return found


def _require_safe(url: str) -> None:
    """Raise `Unavailable` for addresses that others on the way could answer for."""
    parts = urlsplit(url)
    is_here = parts.hostname == "localhost"
    with suppress(ValueError):
        is_here = is_here or ipaddress.ip_address(parts.hostname or "").is_loopback
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise Unavailable("the provider is not reached by HTTPS", "Correct oidc.issuer.")


def _refused(what: str) -> Denied:
    return Denied(f"the provider's answer is not valid: {what}", _HINT)


def _silent() -> Unavailable:
    return Unavailable("the provider does not answer", "Try again in a minute, or tell an administrator.")

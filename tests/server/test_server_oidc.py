"""Signing in by a provider of identities, and by a trusted proxy."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select
from tests.server.people import make_person
from tests.server.provider import CLIENT, SECRET, Provider, running_provider

from foedus.server.app import create_app
from foedus.server.auth import passwords
from foedus.server.db import AuditEntry, Identity, SignInAttempt, User
from foedus.server.platform import Platform
from foedus.server.settings import OidcSection, ServerSection, ServerSettings

pytestmark = pytest.mark.slow  # each talks to a server and makes an application of its own

Make = Callable[..., TestClient]
WORDS = "a long pass phrase"


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    """The provider, honest again."""
    fresh = Provider(issuer=running.issuer, key=running.key)
    for one in dataclasses.fields(Provider):
        setattr(running, one.name, getattr(fresh, one.name))
    return running


@pytest.fixture
def browser(platform: Platform, provider: Provider, tmp_path: Path) -> Iterator[Make]:
    """Make a browser at a platform with these settings, where somebody else has the first account."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    opened: list[TestClient] = []

    def make(address: str = "192.0.2.1", server: dict[str, Any] | None = None, **oidc: object) -> TestClient:
        section = OidcSection(issuer=provider.issuer, client_id=CLIENT, client_secret_file=secret)
        server_section = ServerSection(**{"sign_up": "open", **(server or {})})
        settings = ServerSettings(server=server_section, oidc=section.model_copy(update=oidc))
        app = create_app(dataclasses.replace(platform, settings=settings))
        opened.append(TestClient(app, follow_redirects=False, client=(address, 1234)))
        return opened[-1]

    with platform.writing() as db:
        db.add(User(name="first", display_name="First", state="active", is_admin=True))
    yield make
    for one in opened:
        one.close()


def go(browser: TestClient, next: str = "/") -> str:
    """Ask for the provider and let it sign the person in; returns where the browser is sent back to."""
    there = browser.get("/sign-in/provider", params={"next": next}).headers["location"]
    return httpx.get(there).headers["location"].removeprefix("http://testserver")


def names(platform: Platform) -> list[str]:
    with platform.reading() as db:
        return list(db.scalars(select(User.name).where(User.name != "first").order_by(User.id)))


def test_somebody_signs_in_and_gets_an_account(browser: Make, provider: Provider, platform: Platform) -> None:
    one = browser()
    assert "Sign in by single sign-on" in one.get("/sign-in").text
    provider.person |= {"name": "Bob B", "email": "Bob@Example.org", "email_verified": True}
    answer = one.get(go(one, "/projects?q=a"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects?q=a")
    assert one.get("/projects").status_code == 200
    with platform.reading() as db:
        user = db.scalars(select(User).where(User.name == "bob-b")).one()
        actions = db.scalars(select(AuditEntry.action)).all()
        assert db.scalars(select(SignInAttempt)).all() == []
    assert (user.display_name, user.email, user.password_hash) == ("Bob B", "bob@example.org", None)
    assert actions == ["sign up", "sign in"]


def test_the_question_has_all_protections(browser: Make, provider: Provider) -> None:
    go(browser())
    question = provider.seen[0]
    assert question["code_challenge_method"] == "S256"
    assert len(question["state"]) == len(question["nonce"]) == len(question["code_challenge"]) == 43
    assert question["redirect_uri"] == "http://testserver/sign-in/provider/back"


def test_the_same_person_comes_back_to_the_same_account(
    browser: Make, provider: Provider, platform: Platform
) -> None:
    one = browser()
    one.get(go(one))
    provider.person |= {"preferred_username": "robert", "email": "new@example.org", "email_verified": True}
    one.get(go(one))
    assert names(platform) == ["bob-b"]
    provider.person["sub"] = "s-2"
    one.get(go(one))
    assert names(platform) == ["bob-b", "robert"]


def test_an_account_is_never_linked_by_name_or_e_mail(
    browser: Make, provider: Provider, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(User(name="bob-b", display_name="Bob", email="bob@example.org", state="active"))
    provider.person |= {"email": "bob@example.org", "email_verified": True}
    one = browser()
    one.get(go(one))
    assert names(platform) == ["bob-b", "bob-b-2"]
    assert one.get("/account").text.count("bob-b-2") > 0
    with platform.reading() as db:
        assert db.scalars(select(User.email).where(User.name == "bob-b-2")).one() is None


LIES: tuple[dict[str, Any], ...] = (
    {"nonce": "another"},
    {"nonce": None},
    {"iss": "https://other.example"},
    {"iss": None},
    {"aud": "somebody-else"},
    {"aud": ["foedus", "somebody-else"]},
    {"azp": "somebody-else"},
    {"exp": 1_000_000_000},
    {"exp": None},
    {"iat": 9_000_000_000},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 201},
    {"at_hash": "wrong"},
)


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_claim_that_is_not_right_lets_nobody_in(
    lie: dict[str, Any], browser: Make, provider: Provider, platform: Platform
) -> None:
    provider.lies = lie
    one = browser()
    answer = one.get(go(one))
    assert answer.status_code == 403
    assert "not valid" in answer.text
    assert names(platform) == []
    assert one.get("/account").status_code == 303


def test_a_token_that_somebody_else_signed_lets_nobody_in(browser: Make, provider: Provider) -> None:
    one = browser()
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "1"})
    assert one.get(go(one)).status_code == 403
    provider.signing_key = OctKey.import_key({"kty": "oct", "k": provider.key.as_dict()["n"], "kid": "1"})
    provider.algorithm = "HS256"
    assert one.get(go(one)).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"jwks_uri": None},
        {"token_endpoint": "http://provider.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)
def test_a_provider_that_is_not_the_one_that_is_set_is_not_used(
    change: dict[str, Any], browser: Make, provider: Provider
) -> None:
    provider.metadata = change
    assert browser().get("/sign-in/provider").status_code == 503


def test_an_issuer_without_https_elsewhere_is_not_asked(browser: Make) -> None:
    assert browser(issuer="http://provider.example").get("/sign-in/provider").status_code == 503


def test_another_browser_cannot_use_the_answer(browser: Make, platform: Platform) -> None:
    one, other = browser(), browser()
    back = go(one)
    assert other.get(back).status_code == 403
    go(other)
    assert other.get(back).status_code == 403
    assert names(platform) == []
    assert one.get(back).status_code == 303


def test_an_answer_is_used_once_and_in_time(browser: Make, platform: Platform) -> None:
    one = browser()
    back, cookie = go(one), one.cookies["foedus-provider"]
    assert one.get(back).status_code == 303
    one.cookies.set("foedus-provider", cookie)
    assert one.get(back).status_code == 403
    late = go(one)
    with platform.writing() as db:
        for row in db.scalars(select(SignInAttempt)):
            row.expires_at = platform.now()
    assert one.get(late).status_code == 403


@pytest.mark.parametrize(
    "change", [("state=", "state=x"), ("code=", "code=x"), ("iss=", "iss=x"), ("code=", "error=")]
)
def test_a_changed_answer_lets_nobody_in(change: tuple[str, str], browser: Make, platform: Platform) -> None:
    one = browser()
    assert one.get(go(one).replace(*change)).status_code == 403
    assert names(platform) == []


def test_an_answer_of_nothing_is_refused(browser: Make) -> None:
    assert browser().get("/sign-in/provider/back").status_code == 403


def test_without_a_provider_in_the_settings_there_is_none(nobody: TestClient) -> None:
    assert nobody.get("/sign-in/provider").status_code == 404
    assert nobody.get("/sign-in/provider/back").status_code == 404


@pytest.mark.parametrize(("sign_up", "made"), [("approval", ["bob-b"]), ("closed", [])])
def test_new_accounts_follow_the_settings(
    sign_up: str, made: list[str], browser: Make, platform: Platform
) -> None:
    one = browser(server={"sign_up": sign_up})
    answer = one.get(go(one))
    assert answer.status_code == 403
    assert ("approval by an administrator" in answer.text) == bool(made)
    assert names(platform) == made


def test_groups_say_who_may_come_in_and_who_administers(
    browser: Make, provider: Provider, platform: Platform
) -> None:
    one = browser(member_groups=("science",), admin_groups=("ops",), server={"sign_up": "closed"})
    provider.person["groups"] = ["cooks"]
    assert one.get(go(one)).status_code == 403
    provider.person["groups"] = ["ops"]
    assert one.get(go(one)).status_code == 303
    assert one.get("/admin").status_code == 200
    provider.person["groups"] = "science"
    assert one.get(go(one)).status_code == 303
    assert one.get("/admin").status_code == 403
    provider.person["groups"] = {"ops": 1}
    assert one.get(go(one)).status_code == 403
    assert names(platform) == ["bob-b"]


def test_while_nobody_has_an_account_the_provider_makes_none(browser: Make, platform: Platform) -> None:
    one = browser()
    with platform.writing() as db:
        db.delete(db.scalars(select(User)).one())
    answer = one.get(go(one))
    assert answer.status_code == 403
    assert "no administrator yet" in answer.text


def test_a_disabled_account_stays_out(browser: Make, platform: Platform) -> None:
    one = browser()
    one.get(go(one))
    with platform.writing() as db:
        db.scalars(select(User).where(User.name == "bob-b")).one().state = "disabled"
    assert "disabled" in one.get(go(one)).text


def link(one: TestClient, **form: str) -> str:
    """Ask for a link and let the provider answer; returns where the browser is sent back to."""
    there = one.post("/account/identities/link", data=form)
    assert there.status_code == 303, there.text
    return httpx.get(there.headers["location"]).headers["location"].removeprefix("http://testserver")


def enter(one: TestClient, app: FastAPI, platform: Platform, name: str, password: str | None) -> None:
    """Sign somebody in who has an account with a password, or without one."""
    person = make_person(app, platform, name)
    if password is not None:
        with platform.writing() as db:
            db.get_one(User, person.user.id).password_hash = passwords.hash_password(password)
    one.cookies.update(person.browser.cookies)


def actions(platform: Platform) -> list[str]:
    with platform.reading() as db:
        return list(db.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_an_identity_is_linked_to_an_account_and_lets_its_owner_in(
    browser: Make, app: FastAPI, platform: Platform
) -> None:
    one, other = browser(), browser()
    enter(one, app, platform, "carol", WORDS)
    assert one.post("/account/identities/link", data={"link_password": "wrong"}).status_code == 422
    answer = one.get(link(one, link_password=WORDS))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account#identities")
    assert "Unlink the identity s-1" in one.get("/account").text
    assert other.get(go(other)).status_code == 303
    assert "Account carol" in other.get("/account").text
    assert names(platform) == ["carol"]
    assert actions(platform) == ["link identity", "sign in"]


def test_an_account_without_a_password_confirms_a_link_by_its_name(
    browser: Make, app: FastAPI, platform: Platform
) -> None:
    one = browser()
    enter(one, app, platform, "carol", None)
    assert one.post("/account/identities/link", data={"link_confirm": "bob"}).status_code == 422
    assert one.get(link(one, link_confirm="carol")).status_code == 303


def test_an_identity_belongs_to_one_account(browser: Make, app: FastAPI, platform: Platform) -> None:
    one, other = browser(), browser()
    other.get(go(other))
    enter(one, app, platform, "carol", None)
    answer = one.get(link(one, link_confirm="carol"))
    assert answer.status_code == 409
    assert "belongs to another account" in answer.text
    assert "bob-b" not in answer.text


def test_a_link_is_made_only_for_who_began_it(browser: Make, app: FastAPI, platform: Platform) -> None:
    one, other = browser(), browser()
    enter(one, app, platform, "carol", None)
    enter(other, app, platform, "dave", None)
    back = link(one, link_confirm="carol")
    assert other.get(back).status_code == 403, "in another browser"
    back = link(one, link_confirm="carol")
    one.cookies.update({"foedus": other.cookies["foedus"]})
    assert one.get(back).status_code == 403, "signed in as somebody else meanwhile"
    with platform.reading() as db:
        assert db.scalars(select(Identity)).all() == []


def test_the_only_way_in_is_not_unlinked_nor_that_of_others(
    browser: Make, app: FastAPI, platform: Platform
) -> None:
    one, other = browser(), browser()
    one.get(go(one))
    enter(other, app, platform, "carol", None)
    with platform.reading() as db:
        identity = db.scalars(select(Identity)).one()
    assert other.post(f"/account/identities/{identity.id}/unlink").status_code == 404
    assert one.post(f"/account/identities/{identity.id}/unlink").status_code == 409
    with platform.writing() as db:
        db.get_one(User, identity.user_id).password_hash = passwords.hash_password(WORDS)
    assert one.post(f"/account/identities/{identity.id}/unlink").status_code == 303
    with platform.reading() as db:
        assert db.scalars(select(Identity)).all() == []
    assert actions(platform)[-1] == "unlink identity"


def test_a_token_links_and_unlinks_nothing(browser: Make, app: FastAPI, platform: Platform) -> None:
    person = make_person(app, platform, "carol")
    assert person.program.post("/account/identities/link", data={"link_confirm": "carol"}).status_code == 403
    assert person.program.post("/account/identities/1/unlink").status_code == 403


def test_a_proxy_on_this_machine_vouches_for_somebody(browser: Make, platform: Platform) -> None:
    one = browser("127.0.0.1", server={"remote_user_header": "X-Remote-User"})
    answer = one.get("/sign-in?next=/projects", headers={"X-Remote-User": "Carol"})
    assert answer.headers["location"] == "/projects"
    assert one.get("/projects").status_code == 200
    assert names(platform) == ["carol"]


def test_nobody_else_is_believed_who_somebody_is(browser: Make, platform: Platform) -> None:
    header = {"X-Remote-User": "first"}
    elsewhere = browser("192.0.2.1", server={"remote_user_header": "X-Remote-User"})
    assert elsewhere.get("/sign-in", headers=header).status_code == 200
    assert browser("127.0.0.1").get("/sign-in", headers=header).status_code == 200
    assert names(platform) == []


def test_a_proxy_does_not_give_away_accounts_that_are_there(
    browser: Make, app: FastAPI, platform: Platform
) -> None:
    make_person(app, platform, "carol", is_admin=True)
    one = browser("127.0.0.1", server={"remote_user_header": "X-Remote-User"})
    one.get("/sign-in", headers={"X-Remote-User": "carol"})
    assert names(platform) == ["carol", "carol-2"]
    assert one.get("/admin").status_code == 403

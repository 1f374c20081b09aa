"""One's own account: profile, password, sessions, chain key."""

import json
from collections.abc import Callable

import pytest
from eth_keyfile.keyfile import decode_keyfile_json
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person, make_person

from foedus.chain.keys import KeyRing
from foedus.server.auth import passwords
from foedus.server.db import AuditEntry, User, WebSession
from foedus.server.platform import Platform

PASSWORD = "correct horse battery"  # noqa: S105
OTHER = "staple staple staple"


@pytest.fixture
def with_password(alice: Person, platform: Platform) -> Person:
    with platform.writing() as db:
        db.get_one(User, alice.user.id).password_hash = passwords.hash_password(PASSWORD)
    return alice


def kept(platform: Platform, person: Person) -> User:
    with platform.reading() as db:
        return db.get_one(User, person.user.id)


def test_the_profile_is_changed_by_its_owner_and_written_down(alice: Person, platform: Platform) -> None:
    form = {"display_name": "Alice B", "email": "Alice@Example.org", "site": "KAUST"}
    assert alice.browser.post("/account/profile", data=form).headers["location"] == "/account"
    user = kept(platform, alice)
    assert (user.display_name, user.email, user.site) == ("Alice B", "alice@example.org", "KAUST")
    assert "Alice B" in alice.browser.get("/account").text
    with platform.reading() as db:
        assert db.scalars(select(AuditEntry.action)).all() == ["edit profile"]


def test_two_accounts_cannot_have_one_address(alice: Person, stranger: Person) -> None:
    alice.browser.post("/account/profile", data={"email": "a@example.org"})
    answer = stranger.browser.post("/account/profile", data={"email": "A@example.org"})
    assert answer.status_code == 422
    assert 'href="#f-email"' in answer.text


def test_a_new_password_needs_the_present_one_and_signs_other_browsers_out(
    with_password: Person, app: FastAPI, platform: Platform
) -> None:
    with TestClient(app, follow_redirects=False) as elsewhere:
        elsewhere.post("/sign-in", data={"name": "alice", "password": PASSWORD})
        assert elsewhere.get("/account").status_code == 200
        change = with_password.browser.post
        assert change("/account/password", data={"current": "wrong", "new": OTHER}).status_code == 422
        assert change("/account/password", data={"current": PASSWORD, "new": "short"}).status_code == 422
        assert change("/account/password", data={"current": PASSWORD, "new": OTHER}).status_code == 303
        assert elsewhere.get("/account").status_code == 303
    assert with_password.browser.get("/account").status_code == 200
    assert passwords.is_right(OTHER, kept(platform, with_password).password_hash)


def test_somebody_without_a_password_cannot_be_given_one_by_an_open_browser(alice: Person) -> None:
    answer = alice.browser.post("/account/password", data={"current": "", "new": OTHER})
    assert answer.status_code == 422


def test_trying_passwords_at_an_open_browser_is_limited(with_password: Person) -> None:
    form = {"current": "wrong", "new": OTHER}
    codes = [with_password.browser.post("/account/password", data=form).status_code for _ in range(11)]
    assert codes == [422] * 10 + [429]


def test_a_browser_is_signed_out_by_its_owner_alone(
    alice: Person, stranger: Person, platform: Platform
) -> None:
    with platform.reading() as db:
        session = db.scalars(select(WebSession.id).where(WebSession.user_id == alice.user.id)).one()
    theirs = stranger.browser.post(f"/account/sessions/{session}/end")
    missing = stranger.browser.post("/account/sessions/99999/end")
    assert theirs.status_code == missing.status_code == 404
    assert theirs.text.replace(f"/{session}/", "/99999/") == missing.text
    assert alice.browser.post(f"/account/sessions/{session}/end").status_code == 303
    assert alice.browser.get("/account").status_code == 303


def test_signing_out_everywhere_ends_all_sessions(
    alice: Person, stranger: Person, platform: Platform
) -> None:
    alice.browser.post("/account/sessions/end-all")
    with platform.reading() as db:
        assert db.scalars(select(WebSession.user_id)).all() == [stranger.user.id]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/account/profile", {"display_name": "x"}),
        ("/account/password", {"current": PASSWORD, "new": OTHER}),
        ("/account/sessions/end-all", {}),
        ("/account/key/replace", {"confirm": "alice"}),
        ("/account/key/export", {"key_password": PASSWORD, "file_password": OTHER}),
    ],
)
def test_a_token_cannot_change_the_account(path: str, form: dict[str, str], with_password: Person) -> None:
    assert with_password.program.post(path, data=form).status_code == 403


@pytest.mark.slow
def test_the_chain_key_is_given_to_its_owner_under_a_password(
    with_password: Person, platform: Platform
) -> None:
    form = {"key_password": PASSWORD, "file_password": OTHER}
    assert with_password.browser.post("/account/key/export", data=form).status_code == 409
    key = KeyRing(platform.home.keys).private_key("user-alice")
    assert (
        with_password.browser.post("/account/key/export", data={**form, "key_password": "x"}).status_code
        == 422
    )
    answer = with_password.browser.post("/account/key/export", data=form)
    assert "user-alice.json" in answer.headers["content-disposition"]
    assert decode_keyfile_json(json.loads(answer.content), OTHER.encode()) == key.to_bytes()
    with platform.reading() as db:
        assert db.scalars(select(AuditEntry.action)).all() == ["export key"]


def test_a_key_is_replaced_only_when_its_owner_means_it(alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        db.get_one(User, alice.user.id).address = "0x" + "1" * 40
    assert alice.browser.post("/account/key/replace", data={"confirm": "yes"}).status_code == 422
    assert kept(platform, alice).account == "user-alice"
    assert alice.browser.post("/account/key/replace", data={"confirm": "alice"}).status_code == 303
    user = kept(platform, alice)
    assert (user.account, user.address) == ("user-alice-2", None)


def test_who_one_is_is_told_to_programs(
    alice: Person, person: Callable[..., Person], nobody: TestClient
) -> None:
    me = alice.program.get("/api/v1/me").json()
    assert (me["name"], me["is_admin"], me["scopes"]) == ("alice", False, ["admin", "read", "write"])
    assert nobody.get("/api/v1/me").status_code == 401
    assert nobody.get("/account").headers["location"] == "/sign-in?next=%2Faccount"


def test_a_disabled_account_is_out_at_once(app: FastAPI, platform: Platform) -> None:
    carol = make_person(app, platform, "carol")
    with platform.writing() as db:
        db.get_one(User, carol.user.id).state = "disabled"
    assert carol.browser.get("/account").status_code == 303
    assert carol.program.get("/api/v1/me").status_code == 401
    carol.browser.close()
    carol.program.close()


def test_an_account_without_a_password_sets_one_by_its_name(alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        db.get_one(User, alice.user.id).password_hash = None
    wrong = alice.browser.post("/account/password", data={"current": "bob", "new": OTHER})
    assert wrong.status_code == 422
    assert alice.browser.post("/account/password", data={"current": "alice", "new": OTHER}).status_code == 303
    assert passwords.is_right(OTHER, kept(platform, alice).password_hash)

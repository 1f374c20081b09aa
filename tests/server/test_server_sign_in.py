"""Signing in, up and out, and the first account."""

import datetime
import re
import stat
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from tests.server.people import Person

from foedus.server.auth import passwords
from foedus.server.db import AuditEntry, User, WebSession
from foedus.server.platform import Platform
from foedus.server.services import first_account

PASSWORD = "correct horse battery"  # noqa: S105
FORM = {
    "name": "bob",
    "password": PASSWORD,
    "display_name": "Bob",
    "email": "bob@example.org",
    "site": "KAUST",
}


@pytest.fixture
def bob(platform: Platform) -> User:
    """Somebody with an active account and a password, not signed in."""
    with platform.writing() as db:
        kept = passwords.hash_password(PASSWORD)
        user = User(name="bob", display_name="Bob", state="active", password_hash=kept)
        db.add(user)
    return user


def sign_in(browser: TestClient, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    answer = browser.post("/sign-in", data={"name": "bob", "password": password, **more})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_while_nobody_has_an_account_all_pages_lead_to_the_first_one(nobody: TestClient) -> None:
    there = nobody.get("/projects").headers["location"]
    assert nobody.get(there).headers["location"] == "/welcome"
    assert nobody.get("/sign-up").headers["location"] == "/welcome"
    assert "Setup code" in nobody.get("/welcome").text


def test_the_first_account_needs_the_code_of_the_server_and_administers(
    nobody: TestClient, platform: Platform
) -> None:
    code = first_account.setup_code(platform)
    file = platform.home.root / "setup-code"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    wrong = nobody.post("/welcome", data={**FORM, "code": "guessed"})
    assert wrong.status_code == 422
    assert 'href="#f-code"' in wrong.text
    assert nobody.post("/welcome", data={**FORM, "code": str(code)}).headers["location"] == "/"
    assert nobody.get("/projects").status_code == 200
    with platform.reading() as db:
        assert db.scalars(select(User)).one().is_admin
    assert first_account.setup_code(platform) is None
    assert not file.exists()
    again = nobody.post("/welcome", data={**FORM, "name": "eve", "email": "", "code": str(code)})
    assert again.status_code == 409


def test_an_empty_setup_code_lets_nobody_in(nobody: TestClient, platform: Platform) -> None:
    (platform.home.root / "setup-code").write_text("")
    assert nobody.post("/welcome", data=FORM).status_code == 422


def test_the_setup_code_stays_the_same_until_it_is_used(platform: Platform) -> None:
    assert first_account.setup_code(platform) == first_account.setup_code(platform) != ""


@pytest.mark.usefixtures("bob")
def test_the_right_password_signs_in_and_the_cookie_is_out_of_reach_of_scripts(nobody: TestClient) -> None:
    answer = nobody.post("/sign-in", data={"name": " Bob", "password": PASSWORD, "next": "/projects?q=a"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects?q=a")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert nobody.get("/projects").status_code == 200


@pytest.mark.usefixtures("bob")
def test_on_https_the_cookie_is_bound_to_the_host_and_to_encryption(nobody: TestClient) -> None:
    nobody.base_url = "https://testserver"
    cookie = nobody.post("/sign-in", data={"name": "bob", "password": PASSWORD}).headers["set-cookie"]
    assert cookie.startswith("__Host-foedus=")
    assert "Secure" in cookie
    assert "Path=/;" in cookie
    assert "Domain" not in cookie


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_nobody_is_sent_elsewhere_after_signing_in(next: str, nobody: TestClient) -> None:
    assert sign_in(nobody, next=next) == (303, "/")


@pytest.mark.usefixtures("bob")
def test_an_unknown_name_and_a_wrong_password_look_the_same(nobody: TestClient) -> None:
    wrong = nobody.post("/sign-in", data={"name": "bob", "password": "not this one, no"})
    unknown = nobody.post("/sign-in", data={"name": "eve", "password": "not this one, no"})
    assert wrong.status_code == unknown.status_code == 422
    assert wrong.text.replace('value="bob"', "") == unknown.text.replace('value="eve"', "")
    assert "Wrong name or password" in wrong.text


def test_an_unknown_name_costs_as_much_as_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Hasher:
        def hash(self, password: str) -> str:
            return f"hash of {password}"

        def verify(self, kept: str, password: str) -> None:
            seen.append(kept)

    monkeypatch.setattr(passwords, "_HASHER", Hasher())
    assert not passwords.is_right(PASSWORD, None)
    assert len(seen) == 1


@pytest.mark.parametrize("state", ["waiting", "disabled"])
def test_only_active_accounts_come_in_and_only_with_the_password_they_learn_why(
    state: str, bob: User, nobody: TestClient, platform: Platform
) -> None:
    with platform.writing() as db:
        db.get_one(User, bob.id).state = state
    status, text = sign_in(nobody)
    assert status == 403
    assert "approval by an administrator" in text or "disabled" in text
    assert "Wrong name or password" in sign_in(nobody, "not this one, no")[1]


@pytest.mark.usefixtures("bob")
def test_signing_in_again_ends_the_old_session_and_signing_out_the_new_one(
    nobody: TestClient, platform: Platform
) -> None:
    sign_in(nobody)
    old = nobody.cookies["foedus"]
    sign_in(nobody)
    assert nobody.cookies["foedus"] != old
    with platform.reading() as db:
        assert len(db.scalars(select(WebSession)).all()) == 1
    assert nobody.post("/sign-out").headers["location"] == "/sign-in"
    with platform.reading() as db:
        assert db.scalars(select(WebSession)).all() == []
        actions = db.scalars(select(AuditEntry.action)).all()
    assert actions.count("sign in") == 2


def test_the_database_holds_neither_password_nor_cookie(
    bob: User, nobody: TestClient, platform: Platform
) -> None:
    sign_in(nobody)
    with platform.reading() as db:
        row = db.scalars(select(WebSession)).one()
        assert nobody.cookies["foedus"] not in (row.token_hash, row.browser)
        assert PASSWORD not in str(db.get_one(User, bob.id).password_hash)


def test_an_outdated_hash_is_renewed_at_sign_in(
    bob: User, nobody: TestClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bob.password_hash
    monkeypatch.setattr(passwords, "is_outdated", lambda kept: True)
    sign_in(nobody)
    with platform.reading() as db:
        after = db.get_one(User, bob.id).password_hash
    assert after != before
    assert passwords.is_right(PASSWORD, after)


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize(
    ("base", "is_warned"), [("http://foedus.example", True), ("http://127.0.0.1", False)]
)
def test_plain_http_is_warned_of_unless_it_stays_on_this_machine(
    base: str, is_warned: bool, nobody: TestClient
) -> None:
    nobody.base_url = base
    assert ("not encrypted" in nobody.get("/sign-in").text) == is_warned


@pytest.mark.usefixtures("alice")
def test_whoever_signs_up_waits_for_approval(nobody: TestClient, platform: Platform) -> None:
    answer = nobody.post("/sign-up", data=FORM)
    assert answer.status_code == 201
    assert "waits for approval by an administrator" in answer.text
    with platform.reading() as db:
        user = db.scalars(select(User).where(User.name == "bob")).one()
    assert (user.state, user.is_admin, user.email, user.site) == (
        "waiting",
        False,
        "bob@example.org",
        "KAUST",
    )
    assert sign_in(nobody)[0] == 403


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Bob"}, "name"),
        ({"name": "worker"}, "name"),
        ({"name": "alice"}, "name"),
        ({"name": "-bob"}, "name"),
        ({"name": "b" * 33}, "name"),
        ({"name": ""}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 1001}, "password"),
        ({"password": "aaaaaaaaaaaaaaaa"}, "password"),
        ({"password": "bobbobbobbob"}, "password"),
        ({"email": "nothing"}, "email"),
        ({"site": "x" * 65}, "site"),
        ({"display_name": "x" * 201}, "display_name"),
    ],
)
def test_a_wrong_field_at_sign_up_is_named_and_nothing_is_made(
    change: dict[str, str], field: str, nobody: TestClient, platform: Platform
) -> None:
    answer = nobody.post("/sign-up", data={**FORM, **change})
    assert answer.status_code == 422
    assert re.findall(r'href="#f-(\w+)"', answer.text) == [field]
    assert change.get("password", "-nothing-") not in answer.text
    with platform.reading() as db:
        assert db.scalars(select(User.name)).all() == ["alice"]


def test_whoever_is_signed_in_needs_no_second_time(person: Callable[..., Person]) -> None:
    assert person("carol").browser.get("/sign-in?next=/projects").headers["location"] == "/projects"


@pytest.mark.parametrize("entry", ["browser", "program"])
def test_people_are_seen_while_they_use_the_site_not_only_at_sign_in(
    entry: str, alice: Person, platform: Platform
) -> None:
    now, long_ago = platform.now(), platform.now() - datetime.timedelta(hours=5)

    def seen() -> datetime.datetime | None:
        assert getattr(alice, entry).get("/api/v1/me").status_code == 200
        with platform.reading() as db:
            return db.scalars(select(User.seen_at)).one()

    with platform.writing() as db:
        db.execute(update(WebSession).values(seen_at=long_ago))
        db.execute(update(User).values(seen_at=long_ago))
    found = seen()
    assert found is not None
    assert found >= now
    with platform.writing() as db:
        db.execute(update(User).values(seen_at=long_ago))
    assert seen() == long_ago  # noted within the last minute: not every request is a write

"""Administration: accounts approved and disabled, announcements, leases, settings, the audit log."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.auth import limits
from foedus.server.auth.limits import attempt
from foedus.server.db import Announcement, AppJob, AuditEntry, RateCount, User
from foedus.server.errors import TooMany
from foedus.server.platform import Platform
from foedus.server.services import administration

PAGES = ("", "/users", "/users/alice", "/announcements", "/audit", "/workers", "/settings")
DEEDS = (
    ("/users/approve", {"name": "alice"}),
    ("/users/alice/state", {"state": "disabled", "confirm": "alice"}),
    ("/users/alice/admin", {"admin": "yes", "confirm": "alice"}),
    ("/users/alice/password", {"confirm": "alice"}),
    ("/announcements", {"text": "Hear!", "level": "info"}),
    ("/announcements/1/withdraw", {}),
    ("/leases/release", {"kind": "run", "row": "1", "confirm": "1"}),
    ("/rate-counts/forget", {}),
)


@pytest.fixture
def chief(person: Callable[..., Person]) -> Person:
    return person("chief", is_admin=True)


def user(platform: Platform, name: str) -> User:
    with platform.reading() as db:
        return db.scalars(select(User).where(User.name == name)).one()


def audited(platform: Platform) -> list[tuple[str, str, str]]:
    with platform.reading() as db:
        return [(e.actor, e.action, e.what) for e in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_for_administrators(
    path: str, chief: Person, alice: Person, nobody: TestClient
) -> None:
    assert chief.browser.get(f"/admin{path}").status_code == 200
    assert alice.browser.get(f"/admin{path}").status_code == 403
    assert nobody.get(f"/admin{path}").headers["location"].startswith("/sign-in")


def test_others_can_do_nothing_of_it(alice: Person, nobody: TestClient, platform: Platform) -> None:
    for path, form in DEEDS:
        assert alice.browser.post(f"/admin{path}", data=form).status_code == 403, path
        assert nobody.post(f"/admin{path}", data=form).status_code == 401, path
    for path in ("users", "users/alice", "users/nothing", "audit"):
        assert alice.program.get(f"/api/v1/admin/{path}").status_code == 403
    assert audited(platform) == []


def test_a_token_without_the_scope_does_not_administer(chief: Person, app: FastAPI) -> None:
    token = chief.program.post("/api/v1/tokens", json={"note": "x", "scope": "write"}).json()["token"]
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as program:
        assert program.get("/api/v1/admin/users").status_code == 403


def test_accounts_that_wait_are_approved_together(chief: Person, platform: Platform) -> None:
    with platform.writing() as db:
        db.add_all(User(name=name, display_name=name) for name in ("bob", "carol", "dave"))
    assert "carol" in chief.browser.get("/admin").text
    assert chief.browser.post("/admin/users/approve", data={"name": ["bob", "carol"]}).status_code == 303
    assert [user(platform, name).state for name in ("bob", "carol", "dave")] == [
        "active",
        "active",
        "waiting",
    ]
    assert audited(platform) == [("chief", "approve user", "bob"), ("chief", "approve user", "carol")]
    assert chief.browser.post("/admin/users/approve").status_code == 422


def test_a_disabled_account_is_out_at_once_and_comes_back(
    chief: Person, alice: Person, platform: Platform
) -> None:
    path = "/admin/users/alice/state"
    assert chief.browser.post(path, data={"state": "disabled", "confirm": "bob"}).status_code == 422
    assert alice.browser.get("/account").status_code == 200
    assert chief.browser.post(path, data={"state": "disabled", "confirm": "alice"}).status_code == 303
    assert alice.browser.get("/account").status_code == 303
    assert alice.program.get("/api/v1/me").status_code == 401
    chief.browser.post(path, data={"state": "active", "confirm": "alice"})
    assert alice.program.get("/api/v1/me").status_code == 200
    assert alice.browser.get("/account").status_code == 303
    assert [action for _, action, _ in audited(platform)] == ["disable user", "enable user"]


def test_the_last_administrator_stays_one(chief: Person, alice: Person, platform: Platform) -> None:
    for path, form in (("state", {"state": "disabled"}), ("admin", {"admin": "no"})):
        answer = chief.browser.post(f"/admin/users/chief/{path}", data={**form, "confirm": "chief"})
        assert answer.status_code == 409
        assert "only administrator" in answer.text
    change = {"admin": True, "confirm": "alice"}
    assert chief.program.patch("/api/v1/admin/users/alice", json=change).json()["is_admin"]
    assert (
        chief.browser.post("/admin/users/chief/admin", data={"admin": "no", "confirm": "chief"}).status_code
        == 303
    )
    assert not user(platform, "chief").is_admin
    assert alice.program.get("/api/v1/admin/users").json()["total"] == 2


@pytest.mark.parametrize(("path", "field"), [("state", "state"), ("admin", "admin")])
def test_a_made_up_choice_changes_nothing(path: str, field: str, chief: Person, alice: Person) -> None:
    form = {field: "perhaps", "confirm": "alice"}
    assert chief.browser.post(f"/admin/users/alice/{path}", data=form).status_code == 422
    assert alice.browser.get("/account").status_code == 200


def test_a_one_time_password_works_once_and_then_one_sets_ones_own(
    chief: Person, alice: Person, nobody: TestClient
) -> None:
    page = chief.browser.post("/admin/users/alice/password", data={"confirm": "alice"})
    password = re.findall(r"<code>([\w-]{43})</code>", page.text)[0]
    assert alice.browser.get("/account").status_code == 303
    form = {"name": "alice", "password": password}
    assert nobody.post("/sign-in", data=form).headers["location"] == "/account#password"
    assert "Set your own" in nobody.get("/account").text
    nobody.post("/account/password", data={"new": "staple staple staple"})
    assert "Set your own" not in nobody.get("/account").text
    nobody.post("/sign-out")
    assert nobody.post("/sign-in", data=form).status_code == 422
    mine = {"name": "alice", "password": "staple staple staple"}
    assert nobody.post("/sign-in", data=mine).status_code == 303


def test_announcements_reach_everybody_until_they_are_withdrawn(
    chief: Person, alice: Person, platform: Platform
) -> None:
    form = {"text": "Down on <b>Friday</b>", "level": "warning", "days": "2"}
    assert chief.browser.post("/admin/announcements", data=form).status_code == 303
    assert "Down on &lt;b&gt;Friday" in alice.browser.get("/").text
    with platform.reading() as db:
        row = db.scalars(select(Announcement)).one()
    assert chief.browser.post(f"/admin/announcements/{row.id}/withdraw").status_code == 303
    assert "Friday" not in alice.browser.get("/").text
    assert chief.browser.post(f"/admin/announcements/{row.id}/withdraw").status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": " "}, "text"),
        ({"level": "loud"}, "level"),
        ({"days": "x"}, "days"),
        ({"days": "999"}, "days"),
    ],
)
def test_a_wrong_field_of_an_announcement_is_named(change: dict[str, str], field: str, chief: Person) -> None:
    page = chief.browser.post("/admin/announcements", data={"text": "a", "level": "info", **change})
    assert page.status_code == 422
    assert f'href="#f-{field}"' in page.text


def test_a_lease_is_released_and_fenced(chief: Person, platform: Platform) -> None:
    with platform.writing() as db:
        job = AppJob(owner_id=chief.user.id, application="a", parameters={}, resources={}, lease_owner="w1")
        db.add(job)
        db.flush()
        number, before = job.id, job.lease_version
    assert "w1" in chief.browser.get("/admin/workers").text
    form = {"kind": "batch job", "row": str(number), "confirm": "no"}
    assert chief.browser.post("/admin/leases/release", data=form).status_code == 422
    assert (
        chief.browser.post("/admin/leases/release", data={**form, "confirm": str(number)}).status_code == 303
    )
    with platform.reading() as db:
        after = db.get_one(AppJob, number)
    assert (after.lease_owner, after.lease_version) == (None, before + 1)
    for wrong in ({"kind": "nothing"}, {"row": "99999", "confirm": "99999"}):
        assert chief.browser.post("/admin/leases/release", data={**form, **wrong}).status_code == 404
    assert chief.browser.post("/admin/leases/release", data={**form, "row": "x"}).status_code == 422


def test_settings_are_shown_with_their_origin_and_without_secrets(chief: Person, platform: Platform) -> None:
    page = chief.browser.get("/admin/settings").text
    assert "server.sign_up" in page
    assert "<td>approval</td><td>default</td>" in page
    assert platform.server.database is None or platform.server.database not in page


def test_what_the_command_line_says_is_in_force_and_empty_values_are_words(
    chief: Person, platform: Platform
) -> None:
    told = platform.told(port=8741)
    with platform.reading() as db:
        found = administration.settings_in_force(db, chief.actor, told)
    values = {one.key: (one.value, one.origin) for one in found}
    assert values["server.port"] == ("8741", "command line")
    assert values["server.host"] == ("127.0.0.1", "default")
    for key in ("data", "workers", "server.public_url", "server.message", "server.data_roots"):
        assert values[key] == ("none", "default"), key
    assert values["server.database"][0] in ("set", f"sqlite:///{platform.site.home}/platform.sqlite")
    several = platform.told(data_roots=(Path("/a"), Path("/b/{user}")))
    with platform.reading() as db:
        found = administration.settings_in_force(db, chief.actor, several)
    assert "/a, /b/{user}" in [one.value for one in found]


def test_an_account_is_let_try_again(chief: Person, platform: Platform) -> None:
    for name in ("alice", "alice2"):
        for _ in range(limits.PAIR.free):
            attempt(platform, limits.PAIR, f"{name}@192.0.2.1")
    attempt(platform, limits.ACCOUNT, "alice")
    chief.browser.post("/admin/rate-counts/forget", data={"name": "alice"})
    attempt(platform, limits.PAIR, "alice@192.0.2.1")
    with pytest.raises(TooMany):
        attempt(platform, limits.PAIR, "alice2@192.0.2.1")
    with platform.reading() as db:
        assert db.get(RateCount, "sign-in-account:alice") is None


def test_the_audit_log_is_a_list_to_search_and_take_away(chief: Person, alice: Person) -> None:
    alice.program.post("/api/v1/projects", json={"slug": "lungs", "title": "Lungs"})
    found = chief.program.get("/api/v1/admin/audit?q=create").json()
    assert [(e["actor"], e["action"], e["what"]) for e in found["items"]] == [
        ("alice", "create project", "lungs")
    ]
    assert "create project" in chief.browser.get("/admin/audit?format=csv").text

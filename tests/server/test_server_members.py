"""Members of a project: invited, let in, given roles, taken out."""

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.server.auth import tokens
from foedus.server.db import AuditEntry, Invitation, Membership
from foedus.server.platform import Platform

API = "/api/v1/projects/lungs"


@pytest.fixture
def bob(person: Callable[..., Person]) -> Person:
    return person("bob")


def roles(platform: Platform) -> dict[str, tuple[str, str]]:
    with platform.reading() as db:
        found = db.scalars(select(Membership))
        return {member.client: (member.role, member.state) for member in found}


def invite(alice: Person, **values: object) -> str:
    answer = alice.program.post(f"{API}/invitations", json=values)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["link"]).removeprefix("http://testserver")


@pytest.mark.usefixtures("project")
def test_somebody_invited_by_name_becomes_a_member_when_they_accept(
    alice: Person, bob: Person, platform: Platform
) -> None:
    form = {"name": "bob", "role": "member"}
    assert alice.browser.post("/projects/lungs/members", data=form).status_code == 303
    assert bob.browser.get("/projects/lungs/members").status_code == 404
    assert "You are invited to the project <strong>Lungs" in bob.browser.get("/account").text
    accepted = bob.browser.post("/account/invitations/lungs", data={"answer": "accept"})
    assert accepted.headers["location"] == "/projects/lungs"
    assert roles(platform)["bob"] == ("member", "active")
    assert "bob" in alice.browser.get("/projects/lungs/members").text
    with platform.reading() as db:
        entries = db.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert entries == ["create project", "invite member", "accept invitation"]


@pytest.mark.usefixtures("project")
def test_an_invitation_can_be_declined(alice: Person, bob: Person, platform: Platform) -> None:
    alice.program.post(f"{API}/members", json={"name": "bob"})
    bob.browser.post("/account/invitations/lungs", data={"answer": "decline"})
    assert roles(platform)["bob"] == ("member", "left")
    assert bob.browser.post("/account/invitations/lungs", data={"answer": "accept"}).status_code == 404


@pytest.mark.usefixtures("project", "bob")
@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "nobody-here", "role": "member"}, "name"),
        ({"name": "alice", "role": "member"}, "name"),
        ({"name": "bob", "role": "king"}, "role"),
        ({"name": "bob", "role": ""}, "role"),
    ],
)
def test_a_wrong_field_is_named(form: dict[str, str], field: str, alice: Person, platform: Platform) -> None:
    page = alice.browser.post("/projects/lungs/members", data=form)
    assert page.status_code == 422
    assert f'href="#f-{field}"' in page.text
    assert list(roles(platform)) == ["alice"]


@pytest.mark.usefixtures("project")
def test_a_link_makes_its_opener_a_member_once(
    alice: Person, bob: Person, stranger: Person, platform: Platform
) -> None:
    link = invite(alice, role="auditor", days=1, uses=1)
    assert "Join Lungs" in bob.browser.get(link).text
    assert bob.browser.post(link).headers["location"] == "/projects/lungs"
    assert roles(platform)["bob"] == ("auditor", "active")
    late, never = stranger.browser.post(link), stranger.browser.post("/join/nothing")
    assert late.status_code == never.status_code == 404
    assert "mallory" not in roles(platform)
    with platform.reading() as db:
        assert link.rpartition("/")[2] not in db.scalars(select(Invitation.token_hash)).all()


@pytest.mark.usefixtures("project")
def test_members_who_open_a_link_stay_what_they_are_and_use_nothing_up(
    alice: Person, bob: Person, platform: Platform
) -> None:
    link = invite(alice, role="member")
    assert alice.browser.post(link).status_code == 303
    assert roles(platform)["alice"] == ("owner", "active")
    assert bob.browser.post(link).status_code == 303


@pytest.mark.usefixtures("project")
def test_an_expired_or_withdrawn_link_looks_like_none(alice: Person, bob: Person, platform: Platform) -> None:
    expired, withdrawn = invite(alice), invite(alice)
    with platform.writing() as db:
        first, second = db.scalars(select(Invitation).order_by(Invitation.id))
        first.expires_at = platform.now()
    assert alice.program.delete(f"{API}/invitations/{second.id}").status_code == 204
    assert {bob.browser.get(link).status_code for link in (expired, withdrawn, "/join/x")} == {404}


@pytest.mark.usefixtures("project")
def test_a_link_shown_in_the_browser_is_shown_once(alice: Person) -> None:
    form = {"role": "member", "days": "3", "uses": "5", "note": "the partners"}
    page = alice.browser.post("/projects/lungs/members/invitations", data=form)
    secret = re.findall(r"/join/([\w-]{43})", page.text)[0]
    again = alice.browser.get("/projects/lungs/members").text
    assert secret not in again
    assert "the partners" in again


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"days": "0"}, "days"),
        ({"days": "x"}, "days"),
        ({"uses": "9999"}, "uses"),
        ({"note": "x" * 201}, "note"),
        ({"role": "king"}, "role"),
    ],
)
def test_a_wrong_field_of_a_link_is_named(form: dict[str, str], field: str, alice: Person) -> None:
    page = alice.browser.post("/projects/lungs/members/invitations", data={"role": "member", **form})
    assert page.status_code == 422
    assert f'href="#f-{field}"' in page.text


@pytest.mark.usefixtures("project")
def test_those_who_ask_are_let_in_or_not_together(
    alice: Person, bob: Person, person: Callable[..., Person], platform: Platform
) -> None:
    link = invite(alice, role="member", uses=5, needs_approval=True)
    others = [bob, person("carol"), person("dave")]
    for one in others:
        assert "You asked to join" in one.browser.post(link).text
    assert bob.browser.get("/projects/lungs/members").status_code == 404
    assert "Waiting to be let in" in alice.browser.get("/projects/lungs/members").text
    path = "/projects/lungs/members/decide"
    alice.browser.post(path, data={"name": ["bob", "carol"], "decision": "approve"})
    alice.browser.post(path, data={"name": ["dave"], "decision": "deny"})
    states = {name: state for name, (_, state) in roles(platform).items()}
    assert states == {"alice": "active", "bob": "active", "carol": "active", "dave": "left"}
    assert alice.browser.post(path, data={"decision": "approve"}).status_code == 422
    assert alice.browser.post(path, data={"name": "bob", "decision": "perhaps"}).status_code == 422


@pytest.mark.usefixtures("project")
def test_the_last_owner_cannot_leave_nor_become_less(alice: Person, bob: Person, platform: Platform) -> None:
    join(platform, bob, "lungs")
    page = alice.browser.post("/projects/lungs/members/leave")
    assert page.status_code == 409
    assert "only owner" in page.text
    assert alice.program.patch(f"{API}/members/alice", json={"role": "member"}).status_code == 409
    assert alice.program.patch(f"{API}/members/bob", json={"role": "owner"}).status_code == 200
    assert alice.browser.post("/projects/lungs/members/leave").headers["location"] == "/projects"
    assert roles(platform) == {"alice": ("owner", "left"), "bob": ("owner", "active")}
    assert alice.program.get(f"{API}/members").status_code == 404


@pytest.mark.usefixtures("project")
def test_leads_manage_members_but_neither_owners_nor_that_role(
    bob: Person, stranger: Person, platform: Platform
) -> None:
    join(platform, bob, "lungs", "lead")
    join(platform, stranger, "lungs", "member")
    assert bob.program.patch(f"{API}/members/mallory", json={"role": "auditor"}).status_code == 200
    assert bob.program.patch(f"{API}/members/mallory", json={"role": "owner"}).status_code == 403
    assert bob.program.patch(f"{API}/members/alice", json={"role": "member"}).status_code == 403
    assert bob.program.delete(f"{API}/members/alice").status_code == 403
    assert bob.program.post(f"{API}/invitations", json={"role": "owner"}).status_code == 403
    assert "does not allow it" in bob.browser.get("/projects/lungs/members/alice").text
    assert bob.program.delete(f"{API}/members/mallory").status_code == 204
    assert roles(platform)["mallory"] == ("auditor", "left")
    assert stranger.program.get(API).status_code == 404


@pytest.mark.usefixtures("project")
def test_members_see_each_other_but_change_nothing(bob: Person, platform: Platform) -> None:
    join(platform, bob, "lungs")
    page = bob.browser.get("/projects/lungs/members").text
    assert "alice" in page
    assert "Invite by" not in page
    for method, path, body in CHANGES:
        answer = bob.program.request(method, API + path, json=body)
        assert answer.status_code == 403, path


CHANGES = (
    ("POST", "/members", {"name": "mallory"}),
    ("POST", "/members/decide", {"names": ["alice"], "approve": False}),
    ("PATCH", "/members/alice", {"role": "member"}),
    ("DELETE", "/members/alice", None),
    ("POST", "/invitations", {}),
    ("GET", "/invitations", None),
    ("DELETE", "/invitations/1", None),
)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("method", "path", "body"), [*CHANGES, ("GET", "/members", None), ("POST", "/members/leave", None)]
)
def test_strangers_learn_nothing(
    method: str, path: str, body: object, alice: Person, stranger: Person
) -> None:
    invite(alice)
    theirs = stranger.program.request(method, API + path, json=body)
    missing = stranger.program.request(method, "/api/v1/projects/nothing" + path, json=body)
    assert theirs.status_code == 404
    assert theirs.json() == missing.json()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("path", ["", "/alice", "/nothing"])
def test_strangers_see_no_page_of_members(path: str, stranger: Person) -> None:
    theirs = stranger.browser.get(f"/projects/lungs/members{path}")
    missing = stranger.browser.get(f"/projects/other/members{path}")
    assert theirs.status_code == 404
    assert theirs.text.replace("lungs", "other") == missing.text


@pytest.mark.usefixtures("project")
def test_a_link_of_another_project_cannot_be_withdrawn(
    alice: Person, bob: Person, platform: Platform
) -> None:
    invite(alice)
    bob.program.post("/api/v1/projects", json={"slug": "hearts", "title": "Hearts"})
    with platform.reading() as db:
        foreign = db.scalars(select(Invitation.id)).one()
    assert bob.program.delete(f"/api/v1/projects/hearts/invitations/{foreign}").status_code == 404
    assert len(alice.program.get(f"{API}/invitations").json()["items"]) == 1


@pytest.mark.usefixtures("project")
def test_nobody_comes_back_to_the_link_after_signing_in(alice: Person, nobody: TestClient) -> None:
    link = invite(alice)
    assert nobody.get(link).headers["location"] == f"/sign-in?next=%2Fjoin%2F{link.rpartition('/')[2]}"


def test_reading_alone_leaves_nothing(
    alice: Person, stranger: Person, project: str, platform: Platform, app: FastAPI
) -> None:
    join(platform, stranger, project, "auditor")
    with platform.writing() as db:
        _, token = tokens.make_token(db, stranger.user.id, "test", "read", None)
    reader = TestClient(app, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
    assert reader.post(f"/api/v1/projects/{project}/members/leave").status_code == 403
    assert stranger.program.post(f"/api/v1/projects/{project}/members/leave").status_code == 204


def test_who_was_removed_does_not_come_back_by_a_link_of_their_own(
    alice: Person, stranger: Person, project: str, platform: Platform
) -> None:
    join(platform, stranger, project, "lead")
    made = stranger.program.post(
        f"/api/v1/projects/{project}/invitations", json={"role": "lead", "days": 90, "uses": 20}
    )
    path = made.json()["link"].partition("/join/")[2]
    assert alice.program.get(f"/join/{path}").status_code == 200
    name = stranger.user.name
    assert alice.program.delete(f"/api/v1/projects/{project}/members/{name}").status_code == 204
    assert (
        stranger.browser.post(f"/join/{path}", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 404
    )
    assert name not in {one["name"] for one in _active(alice, project)}


def test_who_was_a_member_asks_again(
    alice: Person, stranger: Person, project: str, platform: Platform
) -> None:
    join(platform, stranger, project)
    made = alice.program.post(f"/api/v1/projects/{project}/invitations", json={"role": "member"})
    path = made.json()["link"].partition("/join/")[2]
    name = stranger.user.name
    assert alice.program.delete(f"/api/v1/projects/{project}/members/{name}").status_code == 204
    stranger.browser.post(f"/join/{path}", headers={"Sec-Fetch-Site": "same-origin"})
    assert name not in {one["name"] for one in _active(alice, project)}


def _active(person: Person, project: str) -> list[dict]:
    found = person.program.get(f"/api/v1/projects/{project}/members").json()["items"]
    return [one for one in found if one["state"] == "active"]

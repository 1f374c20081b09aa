"""People of the tests, each with a signed-in browser and a program that has a token."""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from foedus.server.auth import browsers, tokens
from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.db import Membership, Project, User
from foedus.server.platform import Platform


@dataclass(frozen=True)
class Person:
    """Somebody with an account. `browser` has the cookie, `program` a token with all scopes."""

    user: User
    browser: TestClient
    program: TestClient

    @property
    def actor(self) -> Actor:
        """Who acts, for services that are called directly."""
        return Actor(self.user, frozenset(ALL_SCOPES))


def make_person(app: FastAPI, platform: Platform, name: str, is_admin: bool = False) -> Person:
    """Make an active account and sign it in."""
    with platform.writing() as db:
        user = User(name=name, display_name=name.title(), state="active", is_admin=is_admin)
        db.add(user)
        db.flush()
        cookie = browsers.sign_in(db, user, platform.server, platform.now(), "test", "127.0.0.1")
        _, token = tokens.make_token(db, user.id, "test", "admin", None)
    browser = TestClient(app, follow_redirects=False)
    browser.cookies.set(browsers.cookie_name(is_https=False), cookie)
    program = TestClient(app, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
    return Person(user, browser, program)


def join(platform: Platform, person: Person, slug: str, role: str = "member") -> None:
    """Make somebody a member of a project."""
    with platform.writing() as db:
        project = db.scalars(select(Project).where(Project.slug == slug)).one()
        user = person.user
        db.add(Membership(project_id=project.id, user_id=user.id, role=role, client=user.name))

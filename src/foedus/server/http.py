"""What every route is given: the platform, a transaction, and who asks."""

from collections.abc import Iterator
from typing import Annotated, TypeAlias, cast

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.errors import SignInNeeded
from foedus.server.platform import Platform

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def platform_of(request: Request) -> Platform:
    """Return the platform that answers this request."""
    return cast(Platform, request.app.state.platform)


PlatformDep: TypeAlias = Annotated[Platform, Depends(platform_of)]


def _transaction(request: Request, platform: PlatformDep) -> Iterator[Session]:
    """Open the request's one transaction, over before the answer is sent; GET and HEAD only read."""
    with (platform.reading if request.method in SAFE_METHODS else platform.writing)() as db:
        yield db


Db: TypeAlias = Annotated[Session, Depends(_transaction, scope="function")]


def actor_of(request: Request) -> Actor:
    """Return who asks, as `foedus.server.auth.signing.SignIn` found out; nobody counts as well."""
    return cast(Actor, request.state.actor)


def signed_in(request: Request) -> Actor:
    """Return who asks. Raises `SignInNeeded` for nobody."""
    actor = actor_of(request)
    if actor.user is None:
        raise SignInNeeded
    return actor


AnybodyDep: TypeAlias = Annotated[Actor, Depends(actor_of)]
ActorDep: TypeAlias = Annotated[Actor, Depends(signed_in)]

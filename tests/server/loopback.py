"""The web application on a real port of this machine, for what speaks HTTP to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from sqlalchemy import select

from foedus.server.app import create_app
from foedus.server.auth import tokens
from foedus.server.db import User
from foedus.server.platform import Platform
from foedus.server.serve import listen


@contextmanager
def served(platform: Platform) -> Iterator[str]:
    """Serve a platform; gives its origin."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(platform), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def token_of(platform: Platform, name: str, scope: str = "write") -> str:
    """Make a token for an account."""
    with platform.writing() as db:
        user = db.scalars(select(User).where(User.name == name)).one()
        return tokens.make_token(db, user.id, "remote", scope, None)[1]

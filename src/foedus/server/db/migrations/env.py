"""Runs migrations on the connection that `foedus.server.db.engine.migrate` hands over."""

from typing import Literal

from alembic import context

from foedus.server.db import Base
from foedus.server.db.base import UtcDateTime


def _as_plain(kind: str, item: object, autogen_context: object) -> str | Literal[False]:
    """Write our type as the plain one: migrations must not change when our code does."""
    return "sa.DateTime(timezone=True)" if isinstance(item, UtcDateTime) else False


_connection = context.config.attributes["connection"]
context.configure(
    connection=_connection,
    target_metadata=Base.metadata,
    render_as_batch=_connection.dialect.name == "sqlite",  # SQLite cannot alter most of a table
    compare_type=True,
    render_item=_as_plain,
)
with context.begin_transaction():
    context.run_migrations()

"""What all tables share: names of constraints, types of columns, and leased rows."""

import datetime
from typing import Annotated, Any, Final

from sqlalchemy import JSON, DateTime, Dialect, MetaData, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMING: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A moment in UTC. SQLite forgets the zone; this puts it back. Refuses moments without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Turn a moment into UTC on its way to the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(datetime.UTC)

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Give a moment from the database its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)


Text32 = Annotated[str, mapped_column(String(32))]
Text64 = Annotated[str, mapped_column(String(64))]
Text200 = Annotated[str, mapped_column(String(200))]
Long = Annotated[str, mapped_column(String(4000))]
Address = Annotated[str, mapped_column(String(42))]
"""`0x` and 40 hexadecimal digits."""
Key = Annotated[int, mapped_column(primary_key=True)]


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own name
        datetime.datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Leased:
    """A row that one worker at a time works on. `lease_version` grows with each claim: it fences writes."""

    lease_owner: Mapped[Text64 | None]
    lease_until: Mapped[datetime.datetime | None]
    lease_version: Mapped[int] = mapped_column(default=0)


def utc_now() -> datetime.datetime:
    """Return the present moment."""
    return datetime.datetime.now(datetime.UTC)

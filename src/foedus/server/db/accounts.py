"""People, how they prove who they are, and what they did."""

import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from foedus.server.db.base import Address, Base, Key, Long, Text32, Text64, Text200, utc_now

DEMO_SITES = ("site-a", "site-b", "site-c")
"""Names of the demo's members, to whom nobody can sign in."""


class User(Base):
    """An account on this platform. `name` is also the client's name in runs.

    `state`: `waiting` for approval, `active` or `disabled`. `account` names the chain key, and `key_number`
    counts how often it was replaced.
    """

    __tablename__ = "users"

    id: Mapped[Key]
    name: Mapped[Text32] = mapped_column(unique=True)
    display_name: Mapped[Text200]
    email: Mapped[Text200 | None] = mapped_column(unique=True)
    site: Mapped[Text64] = mapped_column(default="")
    password_hash: Mapped[Text200 | None]  # none: signs in by a provider only
    password_once: Mapped[bool] = mapped_column(default=False)  # an administrator made it: one sign-in only
    state: Mapped[Text32] = mapped_column(default="waiting")
    is_admin: Mapped[bool] = mapped_column(default=False)
    key_number: Mapped[int] = mapped_column(default=1)
    address: Mapped[Address | None]  # of the chain key, once a worker has made it
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime.datetime | None]

    identities: Mapped[list["Identity"]] = relationship(cascade="all, delete-orphan")

    @property
    def account(self) -> str:
        """The name of the chain key."""
        return f"user-{self.name}" if self.key_number == 1 else f"user-{self.name}-{self.key_number}"


class Identity(Base):
    """Who somebody is for a provider of identities. Accounts are linked by this alone, never by e-mail."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[Text200]
    subject: Mapped[Text200]


class WebSession(Base):
    """A signed-in browser. The cookie holds the token; here is its SHA-256 only."""

    __tablename__ = "web_sessions"

    id: Mapped[Key]
    token_hash: Mapped[Text64] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime.datetime]
    browser: Mapped[Text200] = mapped_column(default="")
    address: Mapped[Text64] = mapped_column(default="")

    user: Mapped[User] = relationship()


class ApiToken(Base):
    """A token for programs: `fed_<prefix>_<secret>`, of which the prefix and a SHA-256 are kept."""

    __tablename__ = "api_tokens"

    id: Mapped[Key]
    prefix: Mapped[Text32] = mapped_column(unique=True)
    token_hash: Mapped[Text64]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    note: Mapped[Text200]
    scopes: Mapped[Text200]  # separated by spaces
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime.datetime | None]
    used_at: Mapped[datetime.datetime | None]

    user: Mapped[User] = relationship()


class SignInAttempt(Base):
    """A sign-in at a provider that is under way: what the answer will be checked against, once."""

    __tablename__ = "sign_in_attempts"

    state_hash: Mapped[Text64] = mapped_column(primary_key=True)
    browser_hash: Mapped[Text64]  # of the secret in the cookie of the browser that began it
    nonce: Mapped[Text64]
    verifier: Mapped[Text64]  # of PKCE
    next: Mapped[str] = mapped_column(String(2000))
    expires_at: Mapped[datetime.datetime] = mapped_column(index=True)
    user_id: Mapped[int | None]  # who links the identity to their account; none for a sign-in


class RateCount(Base):
    """How often something was tried: `what` is the kind and who, for example `login:alice`."""

    __tablename__ = "rate_counts"

    what: Mapped[str] = mapped_column(String(300), primary_key=True)
    count: Mapped[int]
    since: Mapped[datetime.datetime]
    blocked_until: Mapped[datetime.datetime | None]


class IdempotencyKey(Base):
    """The answer to an unsafe call of the API, so that its repetition gets the same one."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[Text200]
    request_hash: Mapped[Text64]  # of method, path and body
    status: Mapped[int | None]  # none while the first call is under way
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


class AuditEntry(Base):
    """Who did what to what, and from where. Never changed, never deleted with its user."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_project_id_id", "project_id", "id"),)

    id: Mapped[Key]
    at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    actor: Mapped[Text64]  # the user's name, `anybody` or `worker`
    action: Mapped[Text64]
    what: Mapped[Text200]
    project_id: Mapped[int | None]
    details: Mapped[Long] = mapped_column(default="")
    address: Mapped[Text64] = mapped_column(default="")


class Announcement(Base):
    """What administrators tell everybody."""

    __tablename__ = "announcements"

    id: Mapped[Key]
    text: Mapped[Long]
    level: Mapped[Text32] = mapped_column(default="info")  # info or warning
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    ends_at: Mapped[datetime.datetime | None]


class Setting(Base):
    """What administrators change while the platform runs, such as whether people may sign up."""

    __tablename__ = "settings"

    key: Mapped[Text64] = mapped_column(primary_key=True)
    value: Mapped[Long]

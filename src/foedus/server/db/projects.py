"""Projects, who belongs to them as what, and the data that members bring."""

import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from foedus.server.db.accounts import User
from foedus.server.db.base import Address, Base, Key, Leased, Long, Text32, Text64, Text200, utc_now


class Project(Base):
    """Members with one goal and one policy.

    `draft` is the run spec that the form for new runs starts from. `chain_project` is the project's number on
    the chain, once a worker has founded it there with the account `project-<slug>`. `evaluation_id` is the
    dataset whose validation and test examples are published to the members as the shared sets. `origin` is
    the version of a model that the project was started from.
    """

    __tablename__ = "projects"

    id: Mapped[Key]
    slug: Mapped[Text32] = mapped_column(unique=True)
    title: Mapped[Text200]
    goal: Mapped[Long] = mapped_column(default="")
    task: Mapped[Text32] = mapped_column(default="classification")
    state: Mapped[Text32] = mapped_column(default="active")  # or archived
    draft: Mapped[dict[str, Any]]
    asks_votes: Mapped[bool] = mapped_column(default=False)  # members decide ballots themselves
    policy_frozen: Mapped[bool] = mapped_column(default=False)
    chain_project: Mapped[int | None] = mapped_column(unique=True)
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    origin: Mapped[Text64 | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    memberships: Mapped[list["Membership"]] = relationship(
        back_populates="project", cascade="all, delete-orphan"
    )

    @property
    def account(self) -> str:
        """The name of the chain key that leads the project."""
        return f"project-{self.slug}"


class Membership(Base):
    """A person in a project. `state`: `invited`, `asked` (waits for approval), `active` or `left`.

    A member with a dataset is a client: a worker enrols its `chain_address` as one, and notes in `chain_role`
    what the chain says. `mixes_shared`: whether its training mixes in the project's shared dataset.
    """

    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("project_id", "user_id"), UniqueConstraint("project_id", "client"))

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    role: Mapped[Text32]  # owner, lead, member or auditor
    state: Mapped[Text32] = mapped_column(default="active")
    client: Mapped[Text32]  # the member's name on the chain, which can change with its key
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    mixes_shared: Mapped[bool] = mapped_column(default=False)
    chain_address: Mapped[Address | None]
    chain_role: Mapped[int] = mapped_column(default=0)  # `core.records.Role`
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    project: Mapped[Project] = relationship(back_populates="memberships")
    user: Mapped[User] = relationship()
    dataset: Mapped["Dataset | None"] = relationship(foreign_keys=[dataset_id])


class Invitation(Base):
    """A link that makes whoever opens it a member. The link holds the token; here is its SHA-256."""

    __tablename__ = "invitations"

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[Text64] = mapped_column(unique=True)
    role: Mapped[Text32]
    note: Mapped[Text200] = mapped_column(default="")
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime.datetime]
    uses_left: Mapped[int] = mapped_column(default=1)
    needs_approval: Mapped[bool] = mapped_column(default=False)  # whoever opens it asks to be let in

    project: Mapped[Project] = relationship()


class Dataset(Leased, Base):
    """A private dataset of one person: metadata only, as a worker found them when it read the data.

    `state`: `checking`, `ready`, `refused` (with `cause`) or `withdrawn`. `request` is what was asked for:
    kind, path, recipe, split; only the owner ever sees it. `metadata_` holds what other members may see.
    `shared_cid` is set once it was published to a project (its rows then are in the store).
    """

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: Mapped[Key]
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[Text64]
    kind: Mapped[Text32]
    licence: Mapped[Text200] = mapped_column(default="")
    state: Mapped[Text32] = mapped_column(default="checking")
    cause: Mapped[Long] = mapped_column(default="")
    request: Mapped[dict[str, Any]]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    examples: Mapped[int | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    owner: Mapped[User] = relationship()


class SharedDataset(Leased, Base):
    """A small dataset that a project publishes to its members: by CID, never to anybody else.

    `state`: `publishing`, `ready` or `refused` (with `cause`).
    """

    __tablename__ = "shared_datasets"

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    published_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    examples: Mapped[int]  # how many are published
    seed: Mapped[int] = mapped_column(default=1)  # that draws them
    state: Mapped[Text32] = mapped_column(default="publishing")
    cause: Mapped[Long] = mapped_column(default="")
    cid: Mapped[Text64 | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()

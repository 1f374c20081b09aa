"""Runs as people started them, what happens in them while one watches, and batch jobs of applications."""

import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from foedus.learn.choices import score_words
from foedus.server.db.accounts import User
from foedus.server.db.base import Base, Key, Leased, Long, Text32, Text64, Text200, utc_now
from foedus.server.db.projects import Dataset, Project


class Run(Leased, Base):
    """One federated training. `state`: waiting, preparing, running, completed, failed or cancelled.

    `round`, `version` and `score` are where it stood when a worker last said so; the chain is the truth.
    `cancel_reason` is set by whoever wants it to end; a worker then ends it on the chain.
    """

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_project_id_id", "project_id", "id"),)

    id: Mapped[Key]
    name: Mapped[Text64] = mapped_column(unique=True)  # also of its folder below the home folder
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    title: Mapped[Text200] = mapped_column(default="")
    spec: Mapped[dict[str, Any]]
    algorithm: Mapped[Text32]
    rounds: Mapped[int]
    state: Mapped[Text32] = mapped_column(default="waiting", index=True)
    cause: Mapped[Long] = mapped_column(default="")  # in words: why it waits or failed
    hint: Mapped[Long] = mapped_column(default="")
    failures: Mapped[int] = mapped_column(default=0)  # of driving it, in a row
    cancel_reason: Mapped[Text64 | None]
    chain_run: Mapped[int | None] = mapped_column(unique=True)
    round: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=0)
    score: Mapped[float | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]
    ended_at: Mapped[datetime.datetime | None]

    project: Mapped[Project] = relationship()
    creator: Mapped[User] = relationship()
    clients: Mapped[list["RunClient"]] = relationship(cascade="all, delete-orphan")

    @property
    def score_name(self) -> str:
        """What the score of its model is called: F1, Dice, R²."""
        return score_words(self.spec.get("model", {}).get("name")).name

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.state in ("completed", "failed", "cancelled")


class RunClient(Base):
    """A member that holds data in a run: whose they are, by which name and key it takes part."""

    __tablename__ = "run_clients"
    __table_args__ = (UniqueConstraint("run_id", "client"),)

    id: Mapped[Key]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    client: Mapped[Text32]
    account: Mapped[Text64]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    mixes_shared: Mapped[bool] = mapped_column(default=False)

    dataset: Mapped[Dataset] = relationship()
    user: Mapped[User] = relationship()


class RunEvent(Base):
    """Something that happened in a run, in the order in which browsers are told it."""

    __tablename__ = "run_events"
    __table_args__ = (Index("ix_run_events_run_id_id", "run_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[Key]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    kind: Mapped[Text32]  # as `rounds.progress.Progress.kind`, and `state` when the run's state changed
    round: Mapped[int]
    client: Mapped[Text32 | None]
    values: Mapped[dict[str, Any]]


class Metric(Base):
    """One number of one client in one round: loss, score … `step` orders several in a round."""

    __tablename__ = "metrics"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[Text32] = mapped_column(primary_key=True)
    client: Mapped[Text32] = mapped_column(primary_key=True)  # empty: of the global model
    round: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, default=0)
    value: Mapped[float]


class Decision(Base):
    """How a member wants to vote on a round's candidate, where the project asks its members."""

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("run_id", "round", "user_id"),)

    id: Mapped[Key]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    round: Mapped[int]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    candidate: Mapped[Text64]  # empty until the recomputation has ended
    advice: Mapped[int] = mapped_column(default=0)  # `core.records.Choice` that recomputing and scoring gave
    score: Mapped[float | None]
    base_score: Mapped[float | None]
    choice: Mapped[int | None]  # the member's; none while it has not answered
    comment: Mapped[Long] = mapped_column(default="")
    asked_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    deadline: Mapped[int] = mapped_column(BigInteger)  # block time

    run: Mapped[Run] = relationship()


class AppJob(Leased, Base):
    """A batch job of an application. `state` as `core.records.JobState`, and `waiting` before that."""

    __tablename__ = "app_jobs"

    id: Mapped[Key]
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    application: Mapped[Text64]
    parameters: Mapped[dict[str, Any]]
    resources: Mapped[dict[str, Any]]  # what differs from the application's
    folder: Mapped[Text64] = mapped_column(default="")  # name of the job folder, below the owner's jobs
    state: Mapped[Text32] = mapped_column(default="waiting", index=True)
    cause: Mapped[Long] = mapped_column(default="")
    scheduler_id: Mapped[Text64] = mapped_column(default="")
    scheduler_state: Mapped[Text64] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=1)
    wants_cancel: Mapped[bool] = mapped_column(default=False)
    becomes_dataset: Mapped[Text64] = mapped_column(default="")  # name under which its output is registered
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]
    ended_at: Mapped[datetime.datetime | None]

    owner: Mapped[User] = relationship()


class Worker(Base):
    """A worker process that has been seen, and what it is doing."""

    __tablename__ = "workers"

    name: Mapped[Text64] = mapped_column(primary_key=True)
    started_at: Mapped[datetime.datetime]
    seen_at: Mapped[datetime.datetime]
    state: Mapped[Text32]  # working, standby or stopped
    doing: Mapped[Long] = mapped_column(default="")
    version: Mapped[Text32] = mapped_column(default="")


class ModelNote(Base):
    """What a project says about a version of a model: its alias and words. The rest is on the chain.

    Projects that began with the same model each have a note of their own on it.
    """

    __tablename__ = "model_notes"

    cid: Mapped[Text64] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    alias: Mapped[Text32] = mapped_column(default="")  # candidate, champion …
    description: Mapped[Long] = mapped_column(default="")
    limits: Mapped[Long] = mapped_column(default="")

"""What the start page gathers: what goes on, what waits for me, how the platform is, what to do first."""

import datetime
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, joinedload

from foedus.core.records import SCORE_SCALE
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import (
    Announcement,
    ChainRun,
    ChainVersion,
    Dataset,
    Decision,
    Membership,
    Project,
    Run,
    User,
)
from foedus.server.platform import Platform
from foedus.server.services.health import Part, parts

_MOST: Final = 8
_OVER: Final = ("completed", "failed", "cancelled")
_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody new does, where, and whether it is done."""

    text: str
    link: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody is asked to answer, and where: an invitation, an account, who wants to be let in."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class Model:
    """A version of a global model."""

    cid: str
    run: str
    version: int
    score: float | None  # mean of the voters' scores
    score_name: str  # F1, Dice, R²
    time: int


@dataclass(frozen=True, slots=True)
class Home:
    """What the start page shows. None where that part could not be found out; the others stand."""

    announcements: Sequence[Announcement] | None
    questions: Sequence[Question] | None
    ballots: Sequence[Decision] | None
    runs: Sequence[Run] | None
    models: Sequence[Model] | None
    parts: Sequence[Part] | None
    steps: Sequence[Step] | None


def gather(platform: Platform, actor: Actor) -> Home:
    """Find out everything for somebody, each part in a transaction of its own, so that it fails alone."""

    def attempt(find: Callable[[Session], _T]) -> _T | None:
        try:
            with platform.reading() as db:
                return find(db)
        except Exception:  # whatever it is, the rest of the page must stand
            _LOG.exception("a part of the start page failed")
            return None

    return Home(
        attempt(lambda db: announcements(db, platform.now())),
        attempt(lambda db: questions(db, actor)),
        attempt(lambda db: ballots(db, actor)),
        attempt(lambda db: running(db, actor)),
        attempt(lambda db: recent_models(db, actor)),
        attempt(lambda _: parts(platform)),
        attempt(lambda db: first_steps(db, actor)),
    )


def announcements(db: Session, now: datetime.datetime) -> Sequence[Announcement]:
    """Return what administrators tell everybody now, the newest first."""
    is_on = or_(Announcement.ends_at.is_(None), Announcement.ends_at > now)
    return db.scalars(select(Announcement).where(is_on).order_by(Announcement.id.desc()).limit(_MOST)).all()


def questions(db: Session, actor: Actor) -> Sequence[Question]:
    """Return what waits for the actor's answer besides ballots."""
    invited = (
        select(Project.title)
        .join(Membership)
        .where(Membership.user_id == actor.user_id, Membership.state == "invited")
    )
    mine = select(Membership.project_id).where(
        Membership.user_id == actor.user_id,
        Membership.state == "active",
        Membership.role.in_(("owner", "lead")),
    )
    asking = (
        select(Project.slug, Project.title, func.count())
        .join(Membership)
        .where(Membership.state == "asked", Project.id.in_(mine))
        .group_by(Project.slug, Project.title)
        .order_by(Project.title)
    )
    found = [
        Question(f"You are invited to {title}", "/account") for title in db.scalars(invited.limit(_MOST))
    ]
    for slug, title, count in db.execute(asking.limit(_MOST)):
        found.append(Question(f"{count} to let into {title}", f"/projects/{slug}/members"))
    if actor.is_admin:
        new = select(func.count()).select_from(User).where(User.state == "waiting")
        if waiting := db.scalar(new):
            text = "1 account waits" if waiting == 1 else f"{waiting} accounts wait"
            found.append(Question(f"{text} for your approval", "/admin"))
    return found


def ballots(db: Session, actor: Actor) -> Sequence[Decision]:
    """Return the ballots that wait for the actor's answer, the most urgent first."""
    asked = (
        select(Decision)
        .join(Run)
        .where(
            Decision.user_id == actor.user_id,
            Decision.choice.is_(None),
            Decision.candidate != "",
            Run.state.not_in(_OVER),
            Run.project_id.in_(visible_projects(actor)),
        )
    )
    order = (Decision.deadline, Decision.id)
    return db.scalars(asked.order_by(*order).limit(_MOST).options(joinedload(Decision.run))).all()


def running(db: Session, actor: Actor) -> Sequence[Run]:
    """Return the runs under way in the actor's projects, the newest first."""
    found = select(Run).where(Run.state.not_in(_OVER), Run.project_id.in_(visible_projects(actor)))
    return db.scalars(found.order_by(Run.id.desc()).limit(_MOST).options(joinedload(Run.project))).all()


def recent_models(db: Session, actor: Actor) -> Sequence[Model]:
    """Return the newest version of the global model of each of the actor's last runs."""
    found = (
        select(ChainVersion, Run)
        .join(ChainRun, ChainRun.run == ChainVersion.run)
        .join(Project, Project.chain_project == ChainRun.project)
        .join(Run, Run.chain_run == ChainVersion.run)
        .where(
            Project.id.in_(visible_projects(actor)),
            ChainVersion.version == ChainRun.version,
            ChainVersion.version > 0,
        )
        .order_by(ChainVersion.time.desc(), ChainVersion.run.desc(), ChainVersion.version.desc())
        .limit(_MOST)
    )
    return [
        Model(
            row.cid,
            run.name,
            row.version,
            None if row.score_ppb is None else row.score_ppb / SCORE_SCALE,
            run.score_name,
            row.time,
        )
        for row, run in db.execute(found)
    ]


def first_steps(db: Session, actor: Actor) -> Sequence[Step]:
    """Return the way from a new account to a first run, with what is done already."""
    mine = visible_projects(actor)
    others = (Membership.project_id.in_(mine), Membership.user_id != actor.user_id)
    slug = db.scalar(select(Project.slug).where(Project.id.in_(mine)).order_by(Project.id.desc()).limit(1))
    data = select(Dataset.id).where(Dataset.owner_id == actor.user_id, Dataset.state != "withdrawn")

    def is_there(found: object) -> bool:
        return found is not None

    return (
        Step("Found a project, or join one by an invitation", "/projects/new", is_there(slug)),
        Step(
            "Invite members",
            f"/projects/{slug}/members" if slug else "/projects",
            is_there(db.scalar(select(Membership.id).where(*others).limit(1))),
        ),
        Step("Register a dataset; it stays where it is", "/datasets/new", is_there(db.scalar(data.limit(1)))),
        Step(
            "Start a run",
            f"/projects/{slug}/runs/new" if slug else "/projects",
            is_there(db.scalar(select(Run.id).where(Run.project_id.in_(mine)).limit(1))),
        ),
    )

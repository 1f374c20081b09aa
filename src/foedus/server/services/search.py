"""One box over projects, runs, datasets, models, members and the chain, as far as one may see them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import ChainRun, ChainVersion, Dataset, Membership, Project, Run, User
from foedus.server.errors import Invalid
from foedus.server.listing import fault_of_words
from foedus.server.services.explorer import look_up

MOST: Final = 10
"""Hits of each kind that are shown."""

KINDS: Final = {
    "project": "Projects",
    "run": "Runs",
    "dataset": "Datasets",
    "model": "Models",
    "member": "Members",
    "chain": "On the chain",
}
"""Kinds of hits with their titles, in the order in which they are shown: few and large things first."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: what kind of thing, its name, its page, and a word more."""

    kind: str
    title: str
    href: str
    detail: str


def search(db: Session, actor: Actor, text: str) -> Sequence[Hit]:
    """Return what matches and the actor may see, some of each kind. Raises `Invalid` for an overlong text."""
    words = text.strip()
    if fault := fault_of_words(words):
        raise Invalid({"q": fault})
    if not words:
        return []
    return [
        *_projects(db, actor, words),
        *_runs(db, actor, words),
        *_datasets(db, actor, words),
        *_models(db, actor, words),
        *_members(db, actor, words),
        *_chain(db, actor, words),
    ]


def as_json(hits: Sequence[Hit]) -> dict[str, Json]:
    """Return what was found as the API gives it."""
    items: list[Json] = [
        {"kind": one.kind, "title": one.title, "href": one.href, "detail": one.detail} for one in hits
    ]
    return {"items": items}


def _like(words: str, *columns: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    return or_(*(column.icontains(words, autoescape=True) for column in columns))


def _projects(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    mine = Project.id.in_(visible_projects(actor))
    query = select(Project).where(mine, _like(words, Project.slug, Project.title, Project.goal))
    for one in db.scalars(query.order_by(Project.title, Project.id).limit(MOST)):
        yield Hit("project", one.title, f"/projects/{one.slug}", one.task)


def _runs(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    mine = Run.project_id.in_(visible_projects(actor))
    query = select(Run).where(mine, _like(words, Run.name, Run.title))
    for one in db.scalars(query.order_by(Run.id.desc()).limit(MOST)):
        yield Hit("run", one.name, f"/runs/{one.name}", one.title or one.state)


def _datasets(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    query = select(Dataset).where(Dataset.owner_id == actor.user_id, _like(words, Dataset.name))
    for one in db.scalars(query.order_by(Dataset.id.desc()).limit(MOST)):
        yield Hit("dataset", one.name, f"/datasets/{one.id}", one.state)


def _models(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    name = func.coalesce(Run.name, ChainRun.name)
    query = (
        select(ChainVersion.cid, ChainVersion.version, name.label("run"), Project.slug)
        .join(ChainRun, ChainRun.run == ChainVersion.run)
        .join(Project, Project.chain_project == ChainRun.project)
        .outerjoin(Run, Run.chain_run == ChainVersion.run)
        .where(Project.id.in_(visible_projects(actor)))
        .where(_like(words, ChainVersion.cid, ChainVersion.weights, name))
        .order_by(ChainVersion.time.desc(), ChainVersion.run.desc(), ChainVersion.version.desc())
    )
    for cid, version, run, slug in db.execute(query.limit(MOST)):
        yield Hit("model", f"{run or slug} v{version}", f"/models/{cid}?project={slug}", cid)


def _members(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    """Yield people of the actor's projects."""
    query = (
        select(User.name, User.display_name, Project.slug)
        .join(Membership, Membership.user_id == User.id)
        .join(Project, Project.id == Membership.project_id)
        .where(Project.id.in_(visible_projects(actor)), Membership.state == "active")
        .where(_like(words, User.name, User.display_name, Membership.client))
        .order_by(User.name, Project.slug)
    )
    for name, display_name, slug in db.execute(query.limit(MOST)):
        yield Hit("member", name, f"/projects/{slug}/members", f"{display_name}, {slug}")


def _chain(db: Session, actor: Actor, words: str) -> Iterator[Hit]:
    place = look_up(db, actor, words)
    if place is not None and place.startswith("/chain/"):
        kind = place.removeprefix("/chain/").partition("/")[0].partition("?")[0]
        yield Hit("chain", words, place, kind)

"""Shared data: a few examples of an own dataset that a member publishes to a project, by CID."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.db import Project, SharedDataset
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.services.audit import record
from foedus.server.services.contributions import own_dataset
from foedus.server.services.projects import find_project

MOST_EXAMPLES: Final = 100_000


def publish_shared(
    db: Session, actor: Actor, slug: str, dataset_id: int, examples: int, seed: int = 1
) -> SharedDataset:
    """Note which examples are to be published; a worker draws and writes them.

    From then on every member can read these rows. Raises `Invalid` naming each wrong field.
    """
    project = find_project(db, actor, slug, Action.SHARE_DATA)
    if project.state != "active":
        raise Conflict("the project is archived", "Ask an owner to reopen it.")
    dataset = own_dataset(db, actor, dataset_id)
    faults = {}
    largest = min(MOST_EXAMPLES, dataset.examples or 0)
    if not 1 <= examples <= largest:
        faults["examples"] = f"must be from 1 to {largest:,}"
    if not 0 <= seed <= 2**31 - 1:
        faults["seed"] = "must be from 0 to 2,147,483,647"
    if not (dataset.metadata_ or {}).get("histogram"):
        faults["dataset"] = "needs labels, or nobody can train on it"
    if faults:
        raise Invalid(faults)
    found = SharedDataset(
        project_id=project.id,
        dataset_id=dataset.id,
        published_by=actor.user_id,
        examples=examples,
        seed=seed,
    )
    db.add(found)
    db.flush()
    record(db, actor, "publish shared data", dataset.name, project.id, f"{examples} examples")
    return found


def shared_datasets(db: Session, actor: Actor, project: Project) -> Sequence[SharedDataset]:
    """Return what was published to a project, the newest first."""
    require(db, actor, Action.SEE, project, "such project")
    found = select(SharedDataset).where(SharedDataset.project_id == project.id)
    with_dataset = found.options(joinedload(SharedDataset.dataset))
    return db.scalars(with_dataset.order_by(SharedDataset.id.desc()).limit(100)).all()


def find_shared(db: Session, actor: Actor, slug: str, shared_id: int) -> SharedDataset:
    """Return something published to a project of the actor's. Raises `NotFound`."""
    project = find_project(db, actor, slug)
    found = db.get(SharedDataset, shared_id)
    if found is None or found.project_id != project.id:
        raise NotFound("such shared dataset")
    return found


def as_json(shared: SharedDataset) -> dict[str, Json]:
    """Return a shared dataset as the API gives it."""
    return {
        "id": shared.id,
        "examples": shared.examples,
        "seed": shared.seed,
        "state": shared.state,
        "cause": shared.cause,
        "cid": shared.cid,
    }

"""What members bring to a project: the dataset that each trains on, and the one that all are scored on."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.db import ChainAnswer, ChainStanding, Dataset, Membership, Project
from foedus.server.errors import Conflict, Invalid
from foedus.server.index.standings import ALL_RUNS
from foedus.server.services.audit import record
from foedus.server.services.datasets import for_others, rounded_down
from foedus.server.services.projects import find_project


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one member contributes, with small counts suppressed."""

    member: str
    mixes_shared: bool
    figures: dict[str, Json]
    last_examples: int | None  # of its newest update, rounded as the figures are
    last_shared: int | None  # of them, those that the project shares

    def to_json(self) -> dict[str, Json]:
        """Return plain values."""
        last: dict[str, Json] = {"last_examples": self.last_examples, "last_shared": self.last_shared}
        return {"member": self.member, "mixes_shared": self.mixes_shared, **last, **self.figures}


def contribute(
    db: Session, actor: Actor, slug: str, dataset_id: int | None, mixes_shared: bool
) -> Membership:
    """Choose which of the actor's datasets trains in this project; None: none any more."""
    project = find_project(db, actor, slug, Action.CONTRIBUTE)
    membership = membership_of(db, actor, project)
    assert membership is not None, "only active members may contribute"
    dataset = None if dataset_id is None else own_dataset(db, actor, dataset_id)
    membership.dataset_id = None if dataset is None else dataset.id
    membership.mixes_shared = mixes_shared
    record(db, actor, "contribute data", dataset.name if dataset else "none", project.id)
    return membership


def choose_evaluation(db: Session, actor: Actor, slug: str, dataset_id: int | None) -> Project:
    """Choose the dataset whose validation and test examples all members will read and be scored on."""
    project = find_project(db, actor, slug, Action.EDIT_PROJECT)
    if project.policy_frozen:
        raise Conflict("the policy of this project is frozen", "Found a new project for another one.")
    dataset = None if dataset_id is None else own_dataset(db, actor, dataset_id)
    if dataset is not None and not (dataset.metadata_ or {}).get("histogram"):
        raise Invalid({"dataset": "needs labels, or nothing can be scored on it"})
    project.evaluation_id = None if dataset is None else dataset.id
    record(db, actor, "choose evaluation dataset", dataset.name if dataset else "none", project.id)
    return project


def foreign_evaluation(db: Session, actor: Actor, project: Project) -> str:
    """Say which dataset all are scored on, and whose it is; nothing where it is the actor's own or none."""
    dataset = db.get(Dataset, project.evaluation_id or 0)
    if dataset is None or dataset.owner_id == actor.user_id:
        return ""
    theirs = (Membership.project_id == project.id, Membership.user_id == dataset.owner_id)
    client = db.scalar(select(Membership.client).where(*theirs)) or dataset.owner.name
    return f"{dataset.name} of {client}"


def set_policy(db: Session, actor: Actor, slug: str, asks_votes: bool) -> Project:
    """Choose whether members decide ballots themselves."""
    project = find_project(db, actor, slug, Action.EDIT_PROJECT)
    if project.policy_frozen:
        raise Conflict("the policy of this project is frozen", "Found a new project for another one.")
    project.asks_votes = asks_votes
    record(db, actor, "change policy", slug, project.id, f"asks_votes: {asks_votes}")
    return project


def freeze_policy(db: Session, actor: Actor, slug: str) -> Project:
    """Keep the policy as it is from now on; nobody can undo it."""
    project = find_project(db, actor, slug, Action.MANAGE_OWNERS)
    project.policy_frozen = True
    record(db, actor, "freeze policy", slug, project.id)
    return project


def contributions(db: Session, actor: Actor, project: Project) -> list[Contribution]:
    """Return what the members of a project contribute. Raises `NotFound` for strangers."""
    require(db, actor, Action.SEE, project, "such project")
    found = (
        select(Membership)
        .join(Membership.dataset)
        .where(Membership.project_id == project.id, Membership.state == "active", Dataset.state == "ready")
        .options(joinedload(Membership.dataset))
        .order_by(Membership.client)
    )
    return [_contribution(db, project, one) for one in db.scalars(found).all()]


def _contribution(db: Session, project: Project, membership: Membership) -> Contribution:
    assert membership.dataset is not None, "asked for those with one"
    figures = for_others(membership.dataset)
    examples, shared = _last_update(db, project, membership.client)
    if examples is not None and figures["is_rounded"]:
        examples = rounded_down(examples)
    return Contribution(membership.client, membership.mixes_shared, figures, examples, shared)


def _last_update(db: Session, project: Project, client: str) -> tuple[int | None, int | None]:
    """Return of the client's newest update: its examples, and how many of them the project shares."""
    standing = db.get(ChainStanding, (project.chain_project or 0, ALL_RUNS, client))
    for place in reversed(list(standing.recent) if standing is not None else ()):
        run, number, step = map(int, place.split("/"))
        answer = db.get(ChainAnswer, (run, number, step, client))
        if answer is not None and answer.cid is not None:
            return answer.num_examples, answer.num_shared
    return None, None


def classes_chart(found: list[Contribution]) -> dict[str, Any]:
    """Return the heat map of classes over members; a suppressed count is a gap."""
    rows = [list(one.figures["histogram"]) for one in found]  # type: ignore[arg-type] # a list of counts
    classes = max(map(len, rows), default=0)
    return {
        "x": [str(number) for number in range(classes)],
        "y": [one.member for one in found],
        "values": [row + [0] * (classes - len(row)) for row in rows],
        "x_name": "class",
        "y_name": "examples",
    }


def membership_of(db: Session, actor: Actor, project: Project) -> Membership | None:
    """Return the actor's active membership."""
    return db.scalar(
        select(Membership).where(
            Membership.project_id == project.id,
            Membership.user_id == actor.user_id,
            Membership.state == "active",
        )
    )


def own_dataset(db: Session, actor: Actor, dataset_id: int) -> Dataset:
    """Return one of the actor's ready datasets. Raises `Invalid`, the same for foreign and missing ones."""
    dataset = db.get(Dataset, dataset_id)
    if dataset is None or dataset.owner_id != actor.user_id or dataset.state != "ready":
        raise Invalid({"dataset": "choose one of your own datasets that is ready"})
    return dataset

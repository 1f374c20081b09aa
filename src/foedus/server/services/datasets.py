"""Datasets: registered, shown, withdrawn. Only metadata: the data never leave the site."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from foedus.apps.datasets.kinds import formats
from foedus.apps.datasets.recipe import checked_recipe, parse_step
from foedus.apps.parameters import DATASET_NAME
from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require
from foedus.server.db import ApprovedImage, Dataset, ImageRequest, Membership, Project, Run, RunClient
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.platform import Platform
from foedus.server.services.audit import record
from foedus.server.services.places import path_of, roots_of

KINDS: Final = tuple(formats())
STATES: Final = ("checking", "ready", "refused", "withdrawn")
SMALLEST_SHOWN: Final = 5
"""Counts below this are not shown to others: they could tell of single people."""
_ROUNDED_TO: Final = 10

_MOST_STEPS: Final = 20
_SEEDS: Final = 2**53
_SHARES: Final = ("val", "test")


def find_dataset(db: Session, actor: Actor, dataset_id: int, action: Action = Action.SEE) -> Dataset:
    """Return one of the actor's datasets. Raises `NotFound` for what is missing or somebody else's."""
    dataset = db.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFound("such dataset")
    require(db, actor, action, dataset, "such dataset")
    return dataset


def register_dataset(db: Session, actor: Actor, platform: Platform, wanted: Mapping[str, Any]) -> Dataset:
    """Note what is to be registered; a worker then reads the data. Raises `Invalid` naming each wrong field.

    `wanted`: name, kind, root, place, recipe (a step per line), val, test, seed, licence.
    """
    require(db, actor, Action.SUBMIT_JOB)
    assert actor.user is not None, "require refuses nobody"
    name, kind, licence = str(wanted.get("name", "")), str(wanted.get("kind", "")), wanted.get("licence", "")
    faults: dict[str, str] = {}
    path = None
    if not DATASET_NAME.fullmatch(name):
        faults["name"] = "use up to 48 characters of a-z, 0-9, - and _"
    elif is_taken(db, actor.user.id, name):
        faults["name"] = "you have, or had, a dataset of this name"
    if kind not in KINDS:
        faults["kind"] = f"must be one of {', '.join(KINDS)}"
    if len(licence) > 200:
        faults["licence"] = "at most 200 characters"
    recipe = _recipe(str(wanted.get("recipe", "")), faults)
    split = _split(wanted, faults)
    try:
        roots = roots_of(platform.server.data_roots, actor.user.name)
        path = path_of(roots, int(wanted.get("root", 0)), str(wanted.get("place", "")))
    except (NotFound, ValueError, TypeError):
        faults["place"] = "choose a folder or file that is there, below one of the site's roots"
    if faults:
        raise Invalid(faults)
    request = {"path": str(path), "recipe": recipe, **split}
    dataset = Dataset(owner_id=actor.user.id, name=name, kind=kind, licence=licence.strip(), request=request)
    db.add(dataset)
    db.flush()
    record(db, actor, "register dataset", name)
    return dataset


def withdraw_dataset(db: Session, actor: Actor, dataset_id: int) -> Dataset:
    """Take a dataset out of use. Raises `Conflict` while a run under way trains on it."""
    dataset = find_dataset(db, actor, dataset_id, Action.EDIT)
    busy = db.scalar(
        select(Run.name)
        .join(RunClient, RunClient.run_id == Run.id)
        .where(RunClient.dataset_id == dataset.id, Run.state.not_in(("completed", "failed", "cancelled")))
        .limit(1)
    )
    if busy is not None:
        raise Conflict(f"the run {busy} trains on it", "Wait until it has ended, or have a lead cancel it.")
    for membership in db.scalars(select(Membership).where(Membership.dataset_id == dataset.id)):
        membership.dataset_id = None
    for project in db.scalars(select(Project).where(Project.evaluation_id == dataset.id)):
        project.evaluation_id = None
    forget_images(db, dataset)
    dataset.state = "withdrawn"
    record(db, actor, "withdraw dataset", dataset.name)
    return dataset


def forget_images(db: Session, dataset: Dataset) -> int:
    """Remove all images of a dataset, and what is being copied; returns how many were shown."""
    db.execute(delete(ImageRequest).where(ImageRequest.dataset_id == dataset.id))
    gone = delete(ApprovedImage).where(ApprovedImage.dataset_id == dataset.id).returning(ApprovedImage.id)
    return len(db.scalars(gone).all())


def is_taken(db: Session, owner_id: int, name: str) -> bool:
    """Whether the person has a dataset of this name, in whatever state."""
    found = select(Dataset.id).where(Dataset.owner_id == owner_id, Dataset.name == name)
    return db.scalar(found) is not None


def ready_datasets(db: Session, user_id: int) -> Sequence[Dataset]:
    """Return a person's datasets that can be used."""
    found = select(Dataset).where(Dataset.owner_id == user_id, Dataset.state == "ready")
    return db.scalars(found.order_by(Dataset.name)).all()


def dataset_listing(actor: Actor) -> Listing:
    """Return the list of the actor's own datasets."""
    return Listing(
        "Datasets",
        (
            Column("id", "Number", Dataset.id, is_hidden=True),
            Column("name", "Dataset", Dataset.name, link="/datasets/{id}"),
            Column("kind", "Kind", Dataset.kind),
            Column("examples", "Examples", Dataset.examples, "number"),
            Column("licence", "Licence", Dataset.licence),
            Column("state", "State", Dataset.state, "state"),
            Column("created_at", "Registered", Dataset.created_at, "time"),
        ),
        select().select_from(Dataset).where(Dataset.owner_id == actor.user_id),
        Dataset.id,
        "-created_at",
        empty="No dataset yet. Register one: its examples stay where they are.",
        search=(Dataset.name, Dataset.licence),
        filters=(
            Filter("kind", "Kind", Dataset.kind, KINDS),
            Filter("state", "State", Dataset.state, STATES),
        ),
    )


def as_json(dataset: Dataset) -> dict[str, Json]:
    """Return a dataset as the API gives it to its owner."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "kind": dataset.kind,
        "state": dataset.state,
        "cause": dataset.cause,
        "licence": dataset.licence,
        "examples": dataset.examples,
        "metadata": dataset.metadata_,
    }


def for_others(dataset: Dataset) -> dict[str, Json]:
    """Return what the members of a project may see of a dataset: with small counts suppressed.

    Where a class is suppressed all other numbers are rounded: how many examples an update was trained on
    stands on the chain, and the suppressed count is what exact ones would leave of that.
    """
    metadata = dict(dataset.metadata_ or {})
    counts = [int(count) for count in metadata.get("histogram", ())]
    examples = dataset.examples or 0
    is_rounded = any(0 < count < SMALLEST_SHOWN for count in (*counts, examples))
    return {
        "kind": dataset.kind,
        "licence": dataset.licence,
        "examples": rounded_down(examples) if is_rounded else examples,
        "is_rounded": is_rounded,
        "histogram": [_shown(count, is_rounded) for count in counts],
        "parts": None if is_rounded else metadata.get("parts"),
        "shape": metadata.get("shape"),
        "recipe": metadata.get("recipe"),
        "recipe_hash": metadata.get("recipe_hash"),
    }


def rounded_down(count: int) -> int:
    """Round a sum down such that it does not tell what was suppressed in it."""
    return count - count % _ROUNDED_TO


def about(count: int, is_rounded: bool) -> str:
    """Write a sum that may be rounded."""
    if not is_rounded:
        return f"{count:,}"
    return f"about {count:,}" if count else f"<{_ROUNDED_TO}"


def shown_count(count: int | None) -> str:
    """Write a count; a suppressed one is below what is shown."""
    return f"<{SMALLEST_SHOWN}" if count is None else f"{count:,}"


def _shown(count: int, is_rounded: bool) -> int | None:
    """Return a class's count, None when it is small, and among such ones to the nearest five."""
    if 0 < count < SMALLEST_SHOWN:
        return None
    return (count + SMALLEST_SHOWN // 2) // SMALLEST_SHOWN * SMALLEST_SHOWN if is_rounded else count


def _recipe(text: str, faults: dict[str, str]) -> list[Json]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_STEPS:
        faults["recipe"] = f"at most {_MOST_STEPS} steps"
        return []
    try:
        return [step.to_json() for step in checked_recipe([parse_step(line) for line in lines])]
    except InvalidSpec as error:
        faults["recipe"] = f"{error.message}. {error.hint}".strip()
        return []


def _split(wanted: Mapping[str, Any], faults: dict[str, str]) -> dict[str, Json]:
    shares = {}
    for name in _SHARES:
        try:
            shares[name] = float(str(wanted.get(name, "0.1")))
        except ValueError:
            shares[name] = -1.0
        if not 0 <= shares[name] < 1:
            faults[name] = "must be a number of at least 0 and below 1"
    if not faults.keys() & set(_SHARES) and sum(shares.values()) >= 1:
        faults["test"] = "leaves nothing to train on: both shares together must stay below 1"
    text = str(wanted.get("seed", "1"))
    seed = int(text) if text.isascii() and text.isdigit() and len(text) < 17 else -1
    if not 0 <= seed < _SEEDS:
        faults["seed"] = "must be a whole number from 0 to 2^53"
    return {**shares, "seed": seed}
